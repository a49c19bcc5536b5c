package etcdconn

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"smartstack/test/servers"
)

// The name of an etcd changes its address: it is looked up for each connection,
// and what is followed goes on.
func TestNameThatChangesItsAddress(t *testing.T) {
	etcd := servers.Etcd(t)
	registry := admin(t, etcd.Addr)
	put(t, registry, "/s/web/a", "one")
	before, after := servers.StartProxy(t, etcd.Addr), servers.StartProxy(t, etcd.Addr)
	var address atomic.Value
	address.Store(before.Addr())
	pool := NewPoolOver(slog.New(slog.DiscardHandler), func(ctx context.Context, network, name string) (net.Conn, error) {
		if name != "etcd.example.com:2379" {
			t.Errorf("%s is called: want the name, to be looked up anew", name)
		}
		return new(net.Dialer).DialContext(ctx, network, address.Load().(string))
	})
	r := read(t, acquire(t, pool, "etcd.example.com", Access{}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/a": "one"})
	address.Store(after.Addr())
	before.Cut() // and nobody is there any more
	put(t, registry, "/s/web/b", "two")
	r.until(t, map[string]string{"/s/web/a": "one", "/s/web/b": "two"})
}
