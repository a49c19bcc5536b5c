package zkconn

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/test/servers"
)

// The name of a ZooKeeper changes its address: it is looked up for each link,
// and the session goes on.
func TestNameThatChangesItsAddress(t *testing.T) {
	zk := servers.ZooKeeper(t)
	before, after := servers.StartProxy(t, zk.Addr), servers.StartProxy(t, zk.Addr)
	var address atomic.Value
	address.Store(before.Addr())
	pool := NewPoolOver(quiet(), func(ctx context.Context, network, name string) (net.Conn, error) {
		if name != "zk.example.com:2181" {
			t.Errorf("%s is called: want the name, to be looked up anew", name)
		}
		return new(net.Dialer).DialContext(ctx, network, address.Load().(string))
	})
	c := open(t, pool, Ensemble{Hosts: []string{"zk.example.com"}, SessionTimeout: 40 * time.Second})
	create(t, c, "/n", "", Ephemeral)
	first := c.State()
	address.Store(after.Addr())
	before.Cut() // and nobody is there any more
	st := awaitState(t, c, func(st State) bool { return st.Connected && st.Link > first.Link })
	if st.Session != first.Session {
		t.Errorf("session %d after %d: want the same", st.Session, first.Session)
	}
	if stat, err := c.ExistsW(t.Context(), "/n"); err != nil || stat == nil {
		t.Errorf("the registration: %+v, %v", stat, err)
	}
}
