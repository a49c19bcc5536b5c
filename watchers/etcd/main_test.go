package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"smartstack/internal/etcdconn"
	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func (a admin) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(a.t.Context()), servers.Deadline)
}

func (a admin) put(key, value string) {
	a.t.Helper()
	ctx, cancel := a.ctx()
	defer cancel()
	if _, err := a.c.Put(ctx, key, value); err != nil {
		a.t.Fatal(err)
	}
}

func (a admin) remove(key string) {
	a.t.Helper()
	ctx, cancel := a.ctx()
	defer cancel()
	if _, err := a.c.Delete(ctx, key); err != nil {
		a.t.Fatal(err)
	}
}

// keys lists what is below path.
func (a admin) keys(path string) []string {
	a.t.Helper()
	ctx, cancel := a.ctx()
	defer cancel()
	resp, err := a.c.Get(ctx, path+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		a.t.Fatal(err)
	}
	var keys []string
	for _, kv := range resp.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys
}

// hold makes the keys below path be exactly these backends, without ever
// leaving it empty in between.
func (a admin) hold(path string, backends ...service.Backend) {
	a.t.Helper()
	wanted := map[string]bool{}
	for i, b := range backends {
		key := fmt.Sprintf("%s/%s/%020d", path, b.Name, i)
		wanted[key] = true
		a.put(key, string(service.EncodePayload(b)))
	}
	for _, key := range a.keys(path) {
		if !wanted[key] {
			a.remove(key)
		}
	}
}

func newPool() *etcdconn.Pool { return etcdconn.NewPool(slog.New(slog.DiscardHandler)) }

func newWatcher(t testing.TB, pool *etcdconn.Pool, addr, path string) *Watcher {
	t.Helper()
	w, err := New(Options{Hosts: []string{addr}, Path: path, SharedWatch: true}, pool, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func decodeAny(t testing.TB) registration.Decoder {
	t.Helper()
	decode, err := registration.Options{}.Decoder()
	if err != nil {
		t.Fatal(err)
	}
	return decode
}
