package etcdconn

import (
	"context"
	"log/slog"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// admin is a client of the test's own, beside the code under test.
func admin(t testing.TB, addr string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func do[T any](t testing.TB, call func(ctx context.Context) (T, error)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), servers.Deadline)
	defer cancel()
	v, err := call(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func put(t testing.TB, c *clientv3.Client, key, value string) int64 {
	t.Helper()
	return do(t, func(ctx context.Context) (*clientv3.PutResponse, error) { return c.Put(ctx, key, value) }).Header.Revision
}

func remove(t testing.TB, c *clientv3.Client, key string) {
	t.Helper()
	do(t, func(ctx context.Context) (*clientv3.DeleteResponse, error) { return c.Delete(ctx, key) })
}

func acquire(t testing.TB, p *Pool, addr string, access Access) *Cluster {
	t.Helper()
	target, err := NewTarget([]string{addr}, DefaultPort, access)
	if err != nil {
		t.Fatal(err)
	}
	c := p.Acquire(target)
	t.Cleanup(c.Release)
	return c
}

func newPool() *Pool { return NewPool(slog.New(slog.DiscardHandler)) }

// reader collects a subscription's batches into a map.
type reader struct {
	sub    *Subscription
	keys   map[string]string
	resets int
	rev    int64
	era    int
}

func read(t testing.TB, c *Cluster, path string, sharing Sharing) *reader {
	r := &reader{sub: c.Subscribe(path, sharing), keys: map[string]string{}}
	t.Cleanup(r.sub.Close)
	return r
}

// next waits for the next batch.
func (r *reader) next(t testing.TB) Batch {
	t.Helper()
	late := time.After(servers.Deadline)
	for {
		select {
		case <-r.sub.Wake():
			if b, ok := r.sub.Take(); ok {
				r.take(b)
				return b
			}
		case <-late:
			t.Fatalf("nothing came for %s; fault: %v", r.sub.path, r.sub.Fault())
		}
	}
}

func (r *reader) take(b Batch) {
	if b.Reset {
		r.resets++
		clear(r.keys)
	}
	for k, kv := range b.Changed {
		if kv == nil {
			delete(r.keys, k)
		} else {
			r.keys[k] = string(kv.Value)
		}
	}
	r.rev, r.era = b.Rev, b.History
}

// until reads batches until the keys are exactly want.
func (r *reader) until(t testing.TB, want map[string]string) {
	t.Helper()
	for !same(r.keys, want) || r.resets == 0 {
		r.next(t)
	}
}

func same(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// followed waits until the subscription has no fault.
func (r *reader) followed(t testing.TB) {
	t.Helper()
	servers.Eventually(t, func() error {
		if f := r.sub.Fault(); f != nil {
			return f
		}
		return nil
	})
}
