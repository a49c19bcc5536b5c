// Package etcdconn holds what synapse and nerve share about etcd (v3 API, 3.4
// and newer): one connection per cluster, the watches that follow it, and the
// lease that this process holds in it.
//
// A Pool opens a cluster at its first user and closes it with its last:
//
//	target, err := etcdconn.NewTarget([]string{"etcd1", "etcd2:2379"}, etcdconn.DefaultPort, etcdconn.Access{})
//	cluster := pool.Acquire(target) // connects in the background
//	defer cluster.Release()
//
// A Subscription follows the keys below a path. Subscriptions with a common
// parent share one read and one watch, and all watches of a cluster share one
// stream:
//
//	sub := cluster.Subscribe("/services/web", etcdconn.Shared)
//	defer sub.Close()
//	<-sub.Wake()
//	batch, ok := sub.Take()
//
// A Session is a lease that is kept alive, and replaced when it is lost:
//
//	session := cluster.Session(10 * time.Second)
//	defer session.Release(ctx)
//	lease, err := session.Lease(ctx)
package etcdconn
