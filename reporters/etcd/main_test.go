package etcd

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const path = "/services/web"

// admin is a client of the test's own, beside the code under test.
type admin struct {
	t testing.TB
	c *clientv3.Client
}

func newAdmin(t testing.TB, addr string) admin {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return admin{t: t, c: c}
}

func do[T any](a admin, call func(ctx context.Context) (T, error)) T {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.t.Context()), servers.Deadline)
	defer cancel()
	v, err := call(ctx)
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

func (a admin) put(key, value string) {
	a.t.Helper()
	do(a, func(ctx context.Context) (*clientv3.PutResponse, error) { return a.c.Put(ctx, key, value) })
}

// clear deletes everything below path.
func (a admin) clear() {
	a.t.Helper()
	do(a, func(ctx context.Context) (*clientv3.DeleteResponse, error) {
		return a.c.Delete(ctx, path+"/", clientv3.WithPrefix())
	})
}

// held returns the registrations below path, by key.
func (a admin) held() map[string]string { return a.below(path) }

func (a admin) below(path string) map[string]string {
	a.t.Helper()
	resp := do(a, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return a.c.Get(ctx, path+"/", clientv3.WithPrefix())
	})
	held := map[string]string{}
	for _, kv := range resp.Kvs {
		if !strings.HasSuffix(string(kv.Key), "/_number") {
			held[string(kv.Key)] = string(kv.Value)
		}
	}
	return held
}

// only returns the single registration's key.
func (a admin) only() string {
	a.t.Helper()
	held := a.held()
	if len(held) != 1 {
		a.t.Fatalf("%d registrations, want one: %v", len(held), held)
	}
	for key := range held {
		return key
	}
	return ""
}

func (a admin) backends() []service.Backend {
	a.t.Helper()
	var list []service.Backend
	for key, value := range a.held() {
		b, err := service.DecodePayload([]byte(value))
		if err != nil {
			a.t.Fatalf("%s: %v", key, err)
		}
		list = append(list, b)
	}
	return list
}

func newPool() *etcdconn.Pool { return etcdconn.NewPool(slog.New(slog.DiscardHandler)) }

func newReporter(t testing.TB, pool *etcdconn.Pool, addr string, ttl time.Duration) *Reporter {
	t.Helper()
	r, err := New(Options{Hosts: []string{addr}, Port: etcdconn.DefaultPort, Path: path, TTL: config.Seconds(ttl)},
		pool, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), servers.Deadline)
		defer cancel()
		_ = r.Close(ctx)
	})
	return r
}

var web = service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 8080}

func up(b service.Backend) service.Registration { return service.Registration{Up: true, Backend: b} }

func report(t testing.TB, r *Reporter, reg service.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	if err := r.Report(ctx, reg); err != nil {
		t.Fatal(err)
	}
}

// rounds reports as the loop does until there is no error and the condition
// holds.
func rounds(t testing.TB, r *Reporter, reg service.Registration, condition func() error) {
	t.Helper()
	servers.Eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return errors.Join(r.Report(ctx, reg), condition())
	})
}
