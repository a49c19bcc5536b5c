// Package bench measures the programs as users have them: nerve and synapse
// built as they are released, with real HAProxy, ZooKeeper and etcd, each in a
// process of its own.
//
//	make bench                        # everything; writes the tables of docs/performance.md
//	make bench BENCH=ColdStart        # one benchmark; its lines alone are renewed
//	go test -run - -bench Idle ./test/bench   # prints, and writes nothing
//
// A benchmark measures often enough by itself: -count repeats it, and the table
// then has the median of the runs. A line with a bound says whether it is kept;
// a bound on time that is missed is no failure, because the machine may be busy
// with other things. A request that fails is one.
package bench
