package consul

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/service"
	"smartstack/test/consulfake"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// options reads a section as the configuration file holds it.
func options(t testing.TB, text string) Options {
	t.Helper()
	var o Options
	r := &config.Report{Strict: true}
	n, err := config.Parse("test.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Decode(&o, r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return o
}

func newWatcher(t testing.TB, text string) *Watcher {
	t.Helper()
	w, err := New(options(t, text), consulconn.NewPool(quiet()), quiet())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestContract(t *testing.T) {
	for _, source := range []string{"health", "catalog"} {
		t.Run(source, func(t *testing.T) {
			watchertest.Run(t, func(t *testing.T) watchertest.Registry { return ofService(t, source) })
		})
	}
	t.Run("key-values", func(t *testing.T) { watchertest.Run(t, ofKeys) })
}

func ofService(t *testing.T, source string) watchertest.Registry {
	a, mute := consulfake.Start(t), consulfake.Start(t)
	mute.Instead(consulfake.Hang)
	section := func(url string) string {
		return fmt.Sprintf(`{"hosts": %q, "service": "web", "source": %q}`, url, source)
	}
	var list []consulfake.Instance
	return watchertest.Registry{
		New:    func() service.Watcher { return newWatcher(t, section(a.URL)) },
		Silent: func() service.Watcher { return newWatcher(t, section(mute.URL)) },
		Set: func(backends ...service.Backend) {
			list = nil
			for _, b := range backends {
				list = append(list, consulfake.Instance{Node: b.Name, Address: b.Host, Port: b.Port})
			}
			a.Set("web", list...)
		},
		SetBad: func() {
			list = append(list,
				consulfake.Instance{Node: "no-port", Address: "10.0.0.9"},
				consulfake.Instance{Node: "odd\nname", Address: "10.0.0.9", Port: 80},
				consulfake.Instance{Node: "odd-host", Address: "10.0.0.9\nserver evil", Port: 80})
			a.Set("web", list...)
		},
		Break: func() (repair func()) {
			a.Instead(consulfake.Status(500, "No cluster leader"))
			return func() { a.Instead(nil) }
		},
		Want: func(b service.Backend) service.Backend { b.Weight = service.KnownInt(1); return b },
	}
}

func ofKeys(t *testing.T) watchertest.Registry {
	a, mute := consulfake.Start(t), consulfake.Start(t)
	mute.Instead(consulfake.Hang)
	section := func(url string) string { return fmt.Sprintf(`{"hosts": %q, "path": "/services/web/"}`, url) }
	return watchertest.Registry{
		New:    func() service.Watcher { return newWatcher(t, section(a.URL)) },
		Silent: func() service.Watcher { return newWatcher(t, section(mute.URL)) },
		Set: func(backends ...service.Backend) {
			want := map[string]bool{}
			for _, b := range backends {
				want[b.Name] = true
				a.Put("services/web/"+b.Name, string(service.EncodePayload(b)))
			}
			for _, name := range []string{"a", "b", "c"} {
				if !want[name] {
					a.Delete("services/web/" + name)
				}
			}
		},
		SetBad: func() {
			a.Put("services/web/bad1", "half writ")
			a.Put("services/web/bad2", `{"host":"h\n","port":1}`)
			a.Put("services/web/bad3", "")
			a.Put("services/web/folder/", "")
			a.Put("services/web-2/x", `{"host":"h","port":1}`) // a neighbour
		},
		Break: func() (repair func()) {
			a.Instead(consulfake.Status(500, "No cluster leader"))
			return func() { a.Instead(nil) }
		},
	}
}

// run runs w and returns a function that waits for an update that suits.
func run(t *testing.T, w *Watcher) (next func(suits func(service.Update) bool) service.Update) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	updates, done := make(chan service.Update, 100), make(chan error, 1)
	go func() { done <- w.Run(ctx, func(u service.Update) { updates <- u }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(suits func(service.Update) bool) service.Update {
		t.Helper()
		var last service.Update
		for end := time.After(servers.Deadline); ; {
			select {
			case last = <-updates:
				if suits(last) {
					return last
				}
			case <-end:
				t.Fatalf("no such update; the last one: %+v", last)
			}
		}
	}
}

func describe(u service.Update) (list []string) {
	for b := range u.Backends.All() {
		list = append(list, fmt.Sprint(b.Name, " ", b.Address(), " ", b.Weight.Value))
	}
	for _, r := range u.Rejected {
		list = append(list, r.Entry+": "+r.Reason)
	}
	slices.Sort(list)
	return list
}

// Checks, maintenance, tags, addresses and weights.
func TestWhichInstancesServe(t *testing.T) {
	fleet := []consulfake.Instance{
		{Node: "n1", ID: "web-1", Address: "10.0.0.1", Port: 80, Tags: []string{"a", "b"}, Passing: 10, Warning: 2, Checks: map[string]string{"c": "passing"}},
		{Node: "n2", ID: "web-2", NodeAddress: "10.9.9.2", Port: 80, Tags: []string{"a"}, Passing: 10, Warning: 2, Checks: map[string]string{"c": "warning"}},
		{Node: "n3", ID: "web-3", Address: "10.0.0.3", Port: 80, Tags: []string{"a", "b"}, Checks: map[string]string{"c": "critical"}},
		{Node: "n4", ID: "web-4", Address: "10.0.0.4", Port: 80, Tags: []string{"b", "a"}, Tagged: map[string]string{"public": "192.0.2.4"}, Checks: map[string]string{"_service_maintenance:web-4": "critical"}},
	}
	const n3, n4 = `n3/web-3: its check "c" is critical`, "n4/web-4: is in maintenance"
	for _, c := range []struct {
		more string
		want []string
	}{
		{``, []string{"n1 10.0.0.1:80 10", `n2/web-2: its check "c" warns`, n3, n4}},
		{`, "status": "warning"`, []string{"n1 10.0.0.1:80 10", "n2 10.9.9.2:80 2", n3, n4}},
		{`, "status": "any", "tag": "b"`, []string{"n1 10.0.0.1:80 10", "n3 10.0.0.3:80 1", n4}},
		{`, "source": "catalog"`, []string{"n1 10.0.0.1:80 10", "n2 10.9.9.2:80 10", "n3 10.0.0.3:80 1", "n4 10.0.0.4:80 1"}},
		{`, "tags": ["a", "b"]`, []string{"n1 10.0.0.1:80 10", n3, n4}},
		{`, "tags": ["a", "x"]`, nil},
		{`, "address": "node", "status": "warning"`, []string{"n1 10.99.0.1:80 10", "n2 10.9.9.2:80 2", n3, n4}},
		{
			`, "address": "public", "source": "catalog", "tags": ["b", "a"]`,
			[]string{`n1/web-1: has no address "public"`, `n3/web-3: has no address "public"`, "n4 192.0.2.4:80 1"},
		},
	} {
		t.Run(c.more, func(t *testing.T) {
			a := consulfake.Start(t)
			a.Set("web", fleet...)
			w := newWatcher(t, fmt.Sprintf(`{"hosts": %q, "service": "web"%s}`, a.URL, c.more))
			got := run(t, w)(func(service.Update) bool { return true })
			slices.Sort(c.want)
			if d := cmp.Diff(c.want, describe(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Labels, and the order of registration, for label_filters and leader_election.
func TestLabelsAndOrder(t *testing.T) {
	a := consulfake.Start(t)
	a.Set("web", consulfake.Instance{Node: "n1", Address: "10.0.0.1", Port: 80, Meta: map[string]string{"version": "2"}})
	u := run(t, newWatcher(t, fmt.Sprintf(`{"hosts": %q, "service": "web"}`, a.URL)))(func(service.Update) bool { return true })
	for b := range u.Backends.All() {
		if b.Labels != `{"version":"2"}` || !b.ID.Known {
			t.Errorf("%+v", b)
		}
	}
}

// The layout that nginx-upsync uses, and Registrator's.
func TestKeyValueLayouts(t *testing.T) {
	a := consulfake.Start(t)
	a.Put("upstreams/web/", "")
	a.Put("upstreams/web/10.0.0.1:80", `{"weight":2, "max_fails":2, "fail_timeout":10}`)
	a.Put("upstreams/web/10.0.0.2:80", `{"weight":1, "down":1}`)
	a.Put("upstreams/web/10.0.0.3:80", `{"backup":1}`)
	a.Put("upstreams/web/10.0.0.4:80", "")
	a.Put("upstreams/web/n5:web_1:80", "10.0.0.5:32768")
	for method, want := range map[string][]string{
		"auto": {" 10.0.0.1:80 2", " 10.0.0.3:80 1", "10.0.0.2:80: is marked as down", "10.0.0.4:80: is empty", "n5:web_1:80 10.0.0.5:32768 0"},
		"upsync": {
			" 10.0.0.1:80 2", " 10.0.0.3:80 1", " 10.0.0.4:80 1", "10.0.0.2:80: is marked as down", `n5:web_1:80: the key: want host:port, got "n5:web_1:80"`,
		},
	} {
		w := newWatcher(t, fmt.Sprintf(`{"hosts": %q, "path": "upstreams/web", "decode": {"method": %q}}`, a.URL, method))
		u := run(t, w)(func(service.Update) bool { return true })
		if d := cmp.Diff(want, describe(u)); d != "" {
			t.Errorf("%s: %s", method, d)
		}
		for b := range u.Backends.All() {
			if b.Backup != (b.Host == "10.0.0.3") {
				t.Errorf("%+v", b)
			}
		}
	}
}

// A token that may see a part only: that part serves, and the status says so.
func TestPartlyWithheld(t *testing.T) {
	a := consulfake.Start(t)
	a.Token("secret")
	a.Header("X-Consul-Results-Filtered-By-ACLs", "true")
	a.Set("web", consulfake.Instance{Node: "n1", Address: "10.0.0.1", Port: 80})
	w := newWatcher(t, fmt.Sprintf(`{"hosts": %q, "service": "web", "token": "secret"}`, a.URL))
	u := run(t, w)(func(service.Update) bool { return true })
	if u.Backends.Len() != 1 || u.RejectedTotal != 1 || !strings.Contains(u.Rejected[0].Reason, "token") {
		t.Errorf("%+v", u)
	}
}

// What cannot be followed for long is told, and then again.
func TestComplains(t *testing.T) {
	a := consulfake.Start(t)
	a.Instead(consulfake.Status(403, "ACL not found"))
	w := newWatcher(t, fmt.Sprintf(`{"hosts": %q, "service": "web"}`, a.URL))
	w.patience = 50 * time.Millisecond
	err := w.Run(t.Context(), func(service.Update) { t.Error("published") })
	if err == nil || !strings.Contains(err.Error(), "ACL not found") || !strings.Contains(err.Error(), "service:read") {
		t.Errorf("Run returned %v", err)
	}
}

func TestOptionFaults(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                       "want the name of a service",
		`{"service": "a", "path": "b"}`:            "keep one",
		`{"path": "/"}`:                            "path: want something like",
		`{"path": "a", "tags": "x"}`:               "tags are for services",
		`{"service": "a", "source": "x"}`:          "health or catalog",
		`{"service": "a", "status": "x"}`:          "passing, warning or any",
		`{"service": "a", "address": "a b"}`:       "address",
		`{"service": "a", "hosts": "a b"}`:         "hosts: consul host",
		`{"path": "a", "decode": {"method": "x"}}`: "decode: unknown method",
	} {
		if _, err := New(options(t, text), consulconn.NewPool(quiet()), quiet()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
