// Package marathonconn follows the apps of Marathon, once for all services of
// a host that want to know.
//
// A Pool has one follower for each Target: the endpoints of one Marathon and
// how to speak to them. The follower holds one event stream and reads apps one
// by one; all subscriptions share it:
//
//	target, err := marathonconn.NewTarget([]string{"http://m1:8080", "http://m2:8080"}, marathonconn.Access{})
//	pool := marathonconn.NewPool(log)
//	sub := pool.Subscribe(target, marathonconn.Query{App: "/shop/web"}, marathonconn.Pace{Check: 10 * time.Second}, false)
//	defer sub.Close()
//	<-sub.Wake()
//	if answer, ok := sub.Take(); ok && !answer.Missing {
//		fmt.Println(len(answer.App.Tasks))
//	}
//
// Events only tell that something about an app may have changed: the app is
// then read anew. Marathon promises neither their order nor that all arrive,
// so every app is also read when the stream begins, a moment after its last
// event, and from time to time. While there is no stream, apps are polled.
//
// An answer is whole or there is none: what is not JSON, lacks the expected
// key, speaks of another app or is cut is a fault, which Fault tells.
package marathonconn
