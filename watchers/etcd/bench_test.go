package etcd

import (
	"context"
	"fmt"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func batch(reset bool, key string, value []byte) etcdconn.Batch {
	kv := &etcdconn.KV{Key: key, Value: value, Size: len(value)}
	return etcdconn.Batch{Reset: reset, Changed: map[string]*etcdconn.KV{key: kv}}
}

func gone(key string) etcdconn.Batch {
	return etcdconn.Batch{Changed: map[string]*etcdconn.KV{key: nil}}
}

func payload(i int) string {
	return fmt.Sprintf(`{"host":"10.0.%d.%d","port":8080,"name":"i-%d"}`, i/256, i%256, i)
}

// fleet writes services with backends each, 100 keys in a transaction.
func fleet(b *testing.B, a admin, services, backends int) {
	b.Helper()
	var ops []clientv3.Op
	flush := func() {
		ctx, cancel := a.ctx()
		defer cancel()
		if _, err := a.c.Txn(ctx).Then(ops...).Commit(); err != nil {
			b.Fatal(err)
		}
		ops = nil
	}
	for s := range services {
		for i := range backends {
			if ops = append(ops, clientv3.OpPut(fmt.Sprintf("/services/s%04d/i-%d/%020d", s, i, i), payload(i))); len(ops) == 100 {
				flush()
			}
		}
	}
	if len(ops) > 0 {
		flush()
	}
}

// BenchmarkColdRead is from nothing to the first word of all services.
func BenchmarkColdRead(b *testing.B) {
	etcd := servers.Etcd(b)
	a := newAdmin(b, etcd.Addr)
	const services, backends = 1000, 10
	fleet(b, a, services, backends)
	for b.Loop() {
		pool := newPool()
		ctx, cancel := context.WithCancel(b.Context())
		var spoken, ended sync.WaitGroup
		spoken.Add(services)
		for s := range services {
			w := newWatcher(b, pool, etcd.Addr, fmt.Sprintf("/services/s%04d", s))
			ended.Go(func() {
				first := sync.OnceFunc(spoken.Done)
				_ = w.Run(ctx, func(u service.Update) {
					if u.Backends.Len() != backends {
						b.Errorf("%d backends", u.Backends.Len())
					}
					first()
				})
			})
		}
		spoken.Wait()
		cancel()
		ended.Wait()
	}
}

// BenchmarkChange is from a client's write to the publication, with 1,000
// services of 10 backends under the same parent.
func BenchmarkChange(b *testing.B) {
	etcd := servers.Etcd(b)
	a := newAdmin(b, etcd.Addr)
	fleet(b, a, 1000, 10)
	updates, _ := run(b, newWatcher(b, newPool(), etcd.Addr, "/services/s0500"))
	next(b, updates)
	n := 0
	for b.Loop() {
		n++
		a.put("/services/s0500/i-1/1", payload(n))
		next(b, updates)
	}
}

// BenchmarkTable is the watcher's own part of one change.
func BenchmarkTable(b *testing.B) {
	for _, size := range []int{10, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			t := newTable("/s", decodeAny(b))
			for i := range size {
				t.apply(batch(false, fmt.Sprintf("/s/%08d", i), []byte(payload(i))))
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				t.apply(batch(false, "/s/00000005", []byte(payload(n%60000))))
				_ = t.update()
			}
		})
	}
}
