package haproxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// Below our own defaults one of three servers that dies, connections and all,
// costs no GET, and no POST reaches two servers.
func TestDefaultsLoseNoRequestWhenAServerDies(t *testing.T) {
	var posts sync.Map
	start := func() *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if _, twice := posts.LoadOrStore(r.URL.Path, true); twice {
					t.Errorf("%s was sent twice", r.URL.Path)
				}
			}
			_, _ = io.WriteString(w, "ok")
		}))
	}
	backends := []*httptest.Server{start(), start(), start()}
	var list []service.Backend
	for i, b := range backends {
		t.Cleanup(b.Close)
		list = append(list, service.Backend{Name: fmt.Sprint("s", i), Host: "127.0.0.1", Port: b.Listener.Addr().(*net.TCPAddr).Port})
	}
	port := servers.FreePort(t)
	spec := ServiceConfig{Name: "web", Options: ServiceOptions{
		Port:          config.Optional[string]{Set: true, Value: fmt.Sprint(port)},
		ServerOptions: config.Optional[string]{Set: true, Value: "check inter 1s"},
	}}
	o := Options{BindAddress: "127.0.0.1"}
	m := NewComposer(o, []ServiceConfig{spec}, "host").Compose(snapshot(svc("web", list...)), testTime)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, m.Render(), 0o644); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	servers.HAProxy(t, file, address)

	var sent atomic.Int64
	var group sync.WaitGroup
	done := make(chan struct{})
	for worker := range 4 {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: worker%2 == 0}}
			defer client.CloseIdleConnections()
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if n%10 == 0 { // what it answers while a server dies is not ours to promise
					if resp, err := client.Post(fmt.Sprintf("http://%s/%d/%d", address, worker, n), "text/plain", strings.NewReader("x")); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
				}
				resp, err := client.Get("http://" + address + "/")
				if err != nil {
					t.Errorf("GET: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Errorf("GET: status %d", resp.StatusCode)
					return
				}
				sent.Add(1)
			}
		})
	}
	more := func() {
		want := sent.Load() + 300
		servers.Eventually(t, func() error {
			if t.Failed() {
				return nil
			}
			if n := sent.Load(); n < want {
				return fmt.Errorf("%d requests, want %d", n, want)
			}
			return nil
		})
	}
	more()
	_ = backends[0].Listener.Close()
	backends[0].CloseClientConnections()
	more()
	close(done)
	group.Wait()
}
