// Package consulconn follows services and key-values of Consul, once for all
// services of a host that want to know.
//
// A Pool has one follower for each Target: the agents of one Consul and how to
// speak to them. The follower keeps one blocking query open for each Query;
// all subscriptions to it share that:
//
//	target, err := consulconn.NewTarget([]string{"127.0.0.1:8500"}, consulconn.Access{})
//	pool := consulconn.NewPool(log)
//	sub := pool.Subscribe(target, consulconn.Health("web", consulconn.Read{}), consulconn.Pace{}, false)
//	defer sub.Close()
//	<-sub.Wake()
//	if answer, ok := sub.Take(); ok {
//		fmt.Println(len(answer.Instances))
//	}
//
// Consul answers a blocking query when something has changed, or when the wait
// is over; what comes is always the whole. The index that leads from one query
// to the next is taken with the care that Consul's documentation asks for: it
// must be there, an index of 0 never makes a query that does not block, one
// that goes backwards begins anew, and answers that come without a change are
// asked for ever more slowly.
//
// An answer is whole or there is none: what is not JSON, lacks its index, was
// emptied because the token may not read it, or comes from a server that has
// lost its leader and knows less than before, is a fault, which Fault tells.
package consulconn
