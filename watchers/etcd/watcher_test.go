package etcd

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

func TestContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		etcd := servers.Etcd(t)
		client := newAdmin(t, etcd.Addr)
		mute := silent(t)
		return watchertest.Registry{
			New: func() service.Watcher { return newWatcher(t, newPool(), etcd.Addr, "/services/web") },
			Set: func(backends ...service.Backend) { client.hold("/services/web", backends...) },
			SetBad: func() {
				for i, value := range garbage() {
					client.put(fmt.Sprintf("/services/web/bad/%d", i), value)
				}
			},
			Break:  func() func() { etcd.Stop(); return etcd.Start },
			Silent: func() service.Watcher { return newWatcher(t, newPool(), mute, "/services/web") },
		}
	})
}

func garbage() []string {
	return []string{
		"", "half writ", `{"host":"h"}`, `{"host":"h\n","port":1,"name":"n"}`, `{"host":"h","port":1,"name":"a b"}`,
		`{"host":"h","port":0}`, `[]`, `{"host":"h","port":1,"haproxy_server_options":"x\nfrontend y"}`,
		"\x00\xff", strings.Repeat("x", 1<<20),
	}
}

// silent accepts connections and never answers.
func silent(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// run runs w and hands on what it publishes.
func run(t testing.TB, w *Watcher) (updates chan service.Update, failed chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	updates, failed = make(chan service.Update, 1000), make(chan error, 1)
	go func() { failed <- w.Run(ctx, func(u service.Update) { updates <- u }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-failed; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return updates, failed
}

func next(t testing.TB, updates chan service.Update) service.Update {
	t.Helper()
	select {
	case u := <-updates:
		return u
	case <-time.After(servers.Deadline):
		t.Fatal("nothing was published")
		return service.Update{}
	}
}

func TestWhatIsPublished(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	client.put("/s/web", `{"haproxy":{"listen":["mode http"]}}`)
	client.put("/s/web/i-2/00000000000000000017", `{"host":"10.0.0.2","port":"80","name":"i-2","weight":5}`)
	client.put("/s/web/i-1/named", `{"host":"10.0.0.1","port":80,"name":"i-1"}`)
	client.put("/s/web/i-1/_number", "")
	client.put("/s/web2/x/1", `{"host":"10.0.0.9","port":80,"name":"other"}`)
	client.put("/s/web/bad/2", "nonsense")
	updates, _ := run(t, newWatcher(t, newPool(), etcd.Addr, "s/web/"))
	u := next(t, updates)
	want := service.SetOf(
		service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 80},
		service.Backend{Name: "i-2", Host: "10.0.0.2", Port: 80, ID: service.KnownInt(17), Weight: service.KnownInt(5)})
	if !u.Backends.Equal(want) {
		t.Errorf("backends %v, want %v", u.Backends, want)
	}
	if got := string(u.Generators["haproxy"]); got != `{"listen":["mode http"]}` {
		t.Errorf("options %s", got)
	}
	if u.RejectedTotal != 1 || u.Rejected[0].Entry != "/s/web/bad/2" {
		t.Errorf("rejected %+v", u.Rejected)
	}

	client.put("/s/web", "{broken") // the last good options stay
	u = next(t, updates)
	if len(u.Generators) != 1 || u.RejectedTotal != 2 {
		t.Errorf("options %v, rejected %+v", u.Generators, u.Rejected)
	}
	client.remove("/s/web")
	if u = next(t, updates); u.Generators != nil || u.RejectedTotal != 1 {
		t.Errorf("options %v, rejected %+v", u.Generators, u.Rejected)
	}
	client.remove("/s/web/bad/2")
	if u = next(t, updates); u.RejectedTotal != 0 {
		t.Errorf("rejected %+v", u.Rejected)
	}
}

func TestNoNewsIsNotPublished(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	const payload = `{"host":"10.0.0.1","port":80,"name":"a"}`
	client.put("/s/web/a/1", payload)
	updates, _ := run(t, newWatcher(t, newPool(), etcd.Addr, "/s/web"))
	next(t, updates)
	client.put("/s/web/a/1", payload)  // written again, as v2 reporters did
	client.put("/s/web/a/_number", "") // hidden
	client.put("/s/db/a/1", payload)   // a sibling
	client.put("/s/web/b/2", `{"host":"10.0.0.2","port":80,"name":"b"}`)
	if u := next(t, updates); u.Backends.Len() != 2 {
		t.Errorf("an update without news: %v", u.Backends)
	}
}

func TestOutOfReach(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	etcd.Stop()
	w := newWatcher(t, newPool(), etcd.Addr, "/s/web")
	w.grace = 50 * time.Millisecond
	err := w.Run(t.Context(), func(service.Update) { t.Error("published while nothing can be read") })
	if err == nil || !strings.Contains(err.Error(), etcd.Addr) {
		t.Errorf("Run returned %v, want an error that names %s", err, etcd.Addr)
	}
	etcd.Start()
	newAdmin(t, etcd.Addr).put("/s/web/a/1", `{"host":"10.0.0.1","port":80,"name":"a"}`)
	w.grace = servers.Deadline
	updates, _ := run(t, w)
	next(t, updates)
}

func TestOutageAfterTheFirstWord(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	newAdmin(t, etcd.Addr).put("/s/web/a/1", `{"host":"10.0.0.1","port":80,"name":"a"}`)
	w := newWatcher(t, newPool(), etcd.Addr, "/s/web")
	w.grace = time.Second
	published := make(chan service.Update, 10)
	failed := make(chan error, 1)
	go func() { failed <- w.Run(t.Context(), func(u service.Update) { published <- u }) }()
	next(t, published)
	etcd.Stop()
	select {
	case err := <-failed:
		if err == nil || !strings.Contains(err.Error(), etcd.Addr) {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(servers.Deadline):
		t.Fatal("Run does not report the outage")
	}
	if len(published) != 0 {
		t.Error("an outage was published")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Path: "/x"}, {Hosts: []string{"a:b"}, Path: "/x"}} {
		if _, err := New(o, newPool(), nil); err == nil || !strings.HasPrefix(err.Error(), "hosts: ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestTableKeepsOrderAndIds(t *testing.T) {
	for key, want := range map[string]service.Int{
		"/s/web/a/00000000000000000012": service.KnownInt(12), "/s/web/7": service.KnownInt(7),
		"/s/web/a/x7": {}, "/s/web/a/": {}, "/s/web/a/-1": {}, "/s/web/a/99999999999999999999": {},
	} {
		if got := number(key); got != want {
			t.Errorf("number(%q) = %v, want %v", key, got, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	for i, value := range garbage()[:9] {
		f.Add(fmt.Sprintf("/s/web/%d", i), []byte(value))
	}
	f.Add("/s/web", []byte(`{"haproxy":{}}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		tbl := newTable("/s/web", decodeAny(t))
		tbl.apply(batch(true, key, value))
		u := tbl.update()
		for b := range u.Backends.All() {
			if err := b.Validate(); err != nil {
				t.Errorf("%q = %q became an invalid backend: %v", key, value, err)
			}
		}
		tbl.apply(gone(key))
		if u := tbl.update(); u.Backends.Len() != 0 || u.RejectedTotal != 0 {
			t.Error("what is gone stays", cmp.Diff(service.Update{}, u))
		}
	})
}
