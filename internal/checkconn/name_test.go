package checkconn

import (
	"context"
	"fmt"
	"net"
	"testing"

	"smartstack/test/servers"
	"smartstack/watchers/dnstest"
)

// A name that changes its address while it is checked: the next check calls the
// new one.
func TestNameThatChangesItsAddress(t *testing.T) {
	ns, port := dnstest.Start(t), servers.FreePort(t)
	d, err := NewDialer(Target{Host: "db.example.com.", Port: port}, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	d.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, ns.Addr)
	}}
	for _, host := range []string{"127.0.61.1", "127.0.61.2"} {
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		ns.Set("db.example.com. 3600 IN A " + host)
		c, err := d.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := c.RemoteAddr().String(); got != l.Addr().String() {
			t.Errorf("called %s, want %s", got, l.Addr())
		}
		_ = c.Close()
	}
}
