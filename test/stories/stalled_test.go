package stories

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// TestStalledClientsHarmNobody lets a hundred clients ask for the page's data
// and for live views, and read nothing, while backends come and go: HAProxy
// follows, and who asks over the socket is answered.
func TestStalledClientsHarmNobody(t *testing.T) {
	s := newStage(t)
	services := object{}
	for i := range 20 {
		name := fmt.Sprintf("crowd-%d", i)
		for k := range 50 {
			s.register(name, fmt.Sprint(k), backend(fmt.Sprintf("10.0.%d.%d:80", i, k), nil))
		}
		services[name] = s.follow(name, nil, nil, nil)
	}
	s.register("web", "w0", backend(s.live, nil))
	services["web"] = s.follow("web", nil, nil, nil)
	s.start(services)
	for i := range 100 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.page)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		path := []string{"/status?backends", "/events/stream", "/diff", "/metrics/haproxy"}[i%4]
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		entry, address := fmt.Sprintf("new-%d", i), fmt.Sprintf("10.1.0.%d:80", i)
		s.register("web", entry, backend(address, nil))
		servers.Eventually(t, func() error {
			code, out := s.ask("explain", "web", address)
			if code != 0 || !strings.Contains(out, "takes traffic") {
				return fmt.Errorf("code %d:\n%s", code, out)
			}
			return nil
		})
	}
	if code, out := s.ask("status", "--wait-for", "web=6", "--timeout", "20s"); code > 1 {
		t.Errorf("code %d:\n%s", code, out)
	}
}
