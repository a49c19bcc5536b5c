// Package zkconn gives plugins ZooKeeper sessions that honour contexts, that
// are shared by everybody who talks to the same ensemble, and that say when
// everything has to be looked at again.
//
//	conn, err := pool.Open(zkconn.Ensemble{Hosts: []string{"zk1:2181", "zk2:2181"}})
//	defer conn.Close()
//	sub := conn.Subscribe("/services/web")
//	defer sub.Close()
//	names, stat, err := conn.ChildrenW(ctx, "/services/web")
//	select {
//	case <-sub.Wake(): // something in sub.Take() has fired
//	case <-conn.State().Changed: // link lost, link back or a new session
//	}
//
// What the ZooKeeper library leaves to its users is done here, once:
//
//   - Its calls wait as long as the link is down. Here every call ends with its
//     context, and after the session timeout at the latest.
//   - It would let a server that accepts and then hangs keep it for many
//     minutes. Here a handshake has a deadline.
//   - It looks host names up once, and fails if that fails. Here they are looked
//     up at each connect.
//   - It arms the watches of a resumed session relative to the newest
//     transaction seen, which may already be later than the change that was
//     missed. Here they are armed relative to the last one seen before the link
//     broke, and nothing else is sent before them, so that no change is lost.
//   - It has no chroot, and does not know MultiRead, with which GetMany reads
//     many nodes in one request.
//   - It needs a goroutine for each watch. Here events go to subscriptions.
//
// A session that the server has expired is followed by a new one, for ever:
// whoever holds a Conn compares State().Session.
package zkconn
