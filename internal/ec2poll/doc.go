// Package ec2poll reads Amazon EC2's instances by tag, once for all who want
// to know.
//
// A Pool has one poller for each Query: an account (its credentials and its
// region) and the key of a tag. All subscriptions with the same query share
// it, so that the number of calls does not depend on the number of services:
//
//	pool := ec2poll.NewPool(log)
//	sub := pool.Subscribe(ec2poll.Query{Region: "eu-west-1", Tag: "role"}, 15*time.Second, false)
//	defer sub.Close()
//	<-sub.Wake()
//	if answer, ok := sub.Take(); ok {
//		for _, instance := range answer.With("web") {
//			fmt.Println(instance.ID, instance.PrivateIP)
//		}
//	}
//
// Each answer is complete: all pages were read, and each page is a whole
// DescribeInstances answer. Otherwise there is no answer, and Fault tells why.
//
// Pages are decoded here, from the bytes that the AWS client fetched. The
// client's own decoder needs a second for 5,000 instances, and takes an empty
// body, or the page of a proxy, for the news that there are no instances.
package ec2poll
