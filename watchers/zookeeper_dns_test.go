package watchers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
	"smartstack/watchers/dnstest"
	"smartstack/watchers/watchertest"
)

// zkNames is a path in ZooKeeper whose children name hosts.
type zkNames struct {
	t    *testing.T
	zk   *servers.Process
	conn *zkconn.Conn
	ns   *dnstest.Server
}

func newZKNames(t *testing.T) *zkNames {
	z := &zkNames{t: t, zk: servers.ZooKeeper(t), ns: dnstest.Start(t)}
	conn, err := zkconn.NewPool(quiet()).Open(zkconn.Ensemble{Hosts: []string{z.zk.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	z.conn = conn
	if err := conn.MakePath(t.Context(), "/web"); err != nil {
		t.Fatal(err)
	}
	return z
}

// set makes exactly these backends registered.
func (z *zkNames) set(backends ...service.Backend) {
	z.t.Helper()
	old, err := z.conn.Children(z.t.Context(), "/web")
	if err != nil {
		z.t.Fatal(err)
	}
	for i, b := range backends {
		p, err := z.conn.Create(z.t.Context(), "/web/"+b.Name+"_", service.EncodePayload(b), zkconn.PersistentSequential)
		if err == nil {
			_, err = p.Wait(z.t.Context())
		}
		if err != nil {
			z.t.Fatal(i, err)
		}
	}
	for _, name := range old.Names {
		p, err := z.conn.Delete(z.t.Context(), "/web/"+name, zkconn.AnyVersion)
		if err == nil {
			_, err = p.Wait(z.t.Context())
		}
		if err != nil {
			z.t.Fatal(err)
		}
	}
}

func (z *zkNames) build(method string) service.Watcher {
	z.t.Helper()
	poll := ""
	if strings.HasSuffix(method, "poll") {
		poll = `"polling_interval_sec": 0.1, `
	}
	r := &config.Report{Strict: true}
	w := New(parse(z.t, `{"method": "`+method+`", `+poll+`"hosts": "`+z.zk.Addr+`", "path": "/web", "session_timeout": 1,
		"nameserver": "`+z.ns.Addr+`", "check_interval": 1, "label_filters": []}`), testDeps(), r)
	if err := r.Err(); err != nil {
		z.t.Fatal(err)
	}
	return w
}

func TestZooKeeperDNSContract(t *testing.T) {
	for _, method := range []string{"zookeeper_dns", "zookeeper_dns_poll"} {
		t.Run(method, func(t *testing.T) {
			watchertest.Run(t, func(t *testing.T) watchertest.Registry { return newZKNames(t).registry(method) })
		})
	}
}

func TestZooKeeperDNSPoll(t *testing.T) {
	z := newZKNames(t)
	z.ns.Set("a.example.com. 0 IN A 10.0.0.1", "b.example.com. 0 IN A 10.0.0.2")
	z.set(service.Backend{Name: "a", Host: "a.example.com", Port: 1})
	heard := runAlways(t, z.build("zookeeper_dns_poll"))
	heard.want(t, "10.0.0.1")
	z.set(service.Backend{Name: "b", Host: "b.example.com", Port: 1})
	heard.want(t, "10.0.0.2")
	z.ns.Set("b.example.com. 0 IN A 10.0.0.3")
	heard.want(t, "10.0.0.3")
}

func (z *zkNames) registry(method string) watchertest.Registry {
	return watchertest.Registry{
		New: func() service.Watcher { return z.build(method) },
		Set: func(backends ...service.Backend) {
			var lines []string
			for i := range backends {
				b := &backends[i]
				lines = append(lines, fmt.Sprintf("%s.example.com. 0 IN A %s", b.Name, b.Host))
				b.Host = b.Name + ".example.com"
			}
			z.ns.Set(lines...)
			z.set(backends...)
		},
		SetBad: func() {
			z.set(service.Backend{Name: "a", Host: "a.example.com", Port: 8001}, service.Backend{Name: "x", Host: "nobody.example.com", Port: 1})
		},
		Break: func() func() {
			z.ns.Fail(mdns.RcodeServerFailure)
			return z.ns.Heal
		},
		Silent: func() service.Watcher {
			z.set(service.Backend{Name: "a", Host: "a.example.com", Port: 1})
			z.ns.Silence()
			return z.build(method)
		},
	}
}

// words collects what a watcher says.
type words struct {
	mu  sync.Mutex
	all []string
}

func (w *words) publish(u service.Update) {
	var hosts []string
	for b := range u.Backends.All() {
		hosts = append(hosts, b.Host)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, strings.Join(hosts, " "))
}

func (w *words) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.all
	w.all = nil
	return all
}

func (w *words) want(t *testing.T, want string) {
	t.Helper()
	var seen []string
	servers.Eventually(t, func() error {
		if seen = append(seen, w.take()...); len(seen) == 0 || seen[len(seen)-1] != want {
			return fmt.Errorf("heard %q, want %q", seen, want)
		}
		return nil
	})
}

// run runs w as a supervisor does, until the test ends.
func runAlways(t *testing.T, w service.Watcher) *words {
	heard := &words{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.Run(ctx, heard.publish); err != nil {
				t.Log(err)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return heard
}

func TestNamesAreLookedUpOnWhileZooKeeperIsAway(t *testing.T) {
	z := newZKNames(t)
	z.ns.Set("a.example.com. 0 IN A 10.0.0.1")
	z.set(service.Backend{Name: "a", Host: "a.example.com", Port: 1})
	heard := runAlways(t, z.build("zookeeper_dns"))
	heard.want(t, "10.0.0.1")
	z.zk.Stop()
	z.ns.Set("a.example.com. 0 IN A 10.0.0.2")
	heard.want(t, "10.0.0.2")
	// Beyond the session timeout, when the watcher is started again.
	for i := range 4 {
		addr := fmt.Sprintf("10.0.1.%d", i)
		z.ns.Set("a.example.com. 0 IN A " + addr)
		heard.want(t, addr)
	}
	z.zk.Start()
	z.ns.Set("a.example.com. 0 IN A 10.0.0.3", "b.example.com. 0 IN A 10.0.0.4")
	z.set(service.Backend{Name: "b", Host: "b.example.com", Port: 1})
	heard.want(t, "10.0.0.4")
}

func TestReplacedNameIsNotMissedWhileTheNewOneIsLookedUp(t *testing.T) {
	z := newZKNames(t)
	z.ns.Set("a.example.com. 0 IN A 10.0.0.1", "b.example.com. 0 IN A 10.0.0.2")
	z.set(service.Backend{Name: "a", Host: "a.example.com", Port: 1})
	heard := runAlways(t, z.build("zookeeper_dns"))
	heard.want(t, "10.0.0.1")
	z.set(service.Backend{Name: "b", Host: "b.example.com", Port: 1})
	var all []string
	servers.Eventually(t, func() error {
		all = append(all, heard.take()...)
		if len(all) == 0 || all[len(all)-1] != "10.0.0.2" {
			return errors.New("not yet")
		}
		return nil
	})
	for _, word := range all {
		if word == "" {
			t.Errorf("heard %q: empty on the way", all)
		}
	}
}

func TestAllThatARegistrationSaysIsKept(t *testing.T) {
	z := newZKNames(t)
	z.ns.Set("a.example.com. 0 IN A 10.0.0.2", "a.example.com. 0 IN A 10.0.0.1")
	b := service.Backend{Name: "a", Host: "a.example.com", Port: 1, Weight: service.KnownInt(7), ServerOptions: "backup", Labels: `{"az":"x"}`}
	z.set(b)
	w := z.build("zookeeper_dns")
	ctx, cancel := context.WithCancel(t.Context())
	var got []service.Backend
	if err := w.Run(ctx, func(u service.Update) {
		for b := range u.Backends.All() {
			got = append(got, b)
		}
		cancel()
	}); err != nil {
		t.Fatal(err)
	}
	first, second := b, b
	first.Host, second.Host = "10.0.0.1", "10.0.0.2"
	first.ID, second.ID = service.KnownInt(0), service.KnownInt(0)
	if d := cmp.Diff([]service.Backend{first, second}, got); d != "" {
		t.Error(d)
	}
}
