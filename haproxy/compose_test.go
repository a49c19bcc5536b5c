package haproxy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// svc is a service that has these backends.
func svc(name string, backends ...service.Backend) *service.Service {
	return &service.Service{Name: name, Rev: 1, Origin: service.Discovered, Backends: service.SetOf(backends...)}
}

func snapshot(services ...*service.Service) service.Snapshot {
	return service.Snapshot{Rev: 1, Services: services}
}

func at(host string) service.Backend { return service.Backend{Name: "n", Host: host, Port: 80} }

// plain is a service with a frontend and servers in ascending order.
func plain(name string) ServiceConfig {
	return ServiceConfig{Name: name, Options: ServiceOptions{
		Port: optional("8000"), Listen: []string{"mode http"}, BackendOrder: orderAscending, ServerOptions: optional("check"),
	}}
}

// fromData returns s with options found in the registry.
func fromData(s *service.Service, options string) *service.Service {
	with := *s
	with.Generators = map[string]json.RawMessage{generatorName: json.RawMessage(options)}
	return &with
}

// body is the text of the model behind the preamble.
func body(m Model) string {
	return strings.TrimPrefix(string(m.Render()), header+string(m.Preamble))
}

// check fails the test when the real HAProxy refuses the model.
func check(t *testing.T, m Model) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, m.Render(), 0o644); err != nil {
		t.Fatal(err)
	}
	servers.CheckHAProxy(t, file)
}

func warningsOf(m Model) string {
	var all []string
	for _, w := range m.Warnings {
		all = append(all, w.String())
	}
	for _, s := range m.Sections {
		for _, w := range s.Warnings {
			all = append(all, w.String())
		}
	}
	return strings.Join(all, "\n")
}

func TestComposeReusesSections(t *testing.T) {
	c := NewComposer(Options{Defaults: []string{"mode http"}}, []ServiceConfig{plain("a"), plain("b")}, "host")
	a, b := svc("a", at("10.0.0.1")), svc("b")
	one := c.Compose(snapshot(a, b), testTime)
	two := c.Compose(snapshot(a, svc("b", at("10.0.0.2"))), testTime)
	if one.Sections[0] != two.Sections[0] {
		t.Error("an unchanged service got a new section")
	}
	if one.Sections[1] == two.Sections[1] || !strings.Contains(string(two.Sections[1].Text), "10.0.0.2") {
		t.Error("a changed service kept its section")
	}
	const want = "\nfrontend a\n\tmode http\n\tbind localhost:8000\n\tdefault_backend a\n" +
		"\nbackend a\n\tmode http\n\tserver n_10.0.0.1:80 10.0.0.1:80 id 1 cookie n_10.0.0.1:80 check\n" +
		"\nfrontend b\n\tmode http\n\tbind localhost:8000\n\tdefault_backend b\n\nbackend b\n\tmode http\n"
	if diff := cmp.Diff(want, body(one)); diff != "" {
		t.Error(diff)
	}
	check(t, two)
}

func TestComposeDefaultsOfOurs(t *testing.T) {
	o := Options{SocketFilePath: []string{"/tmp/stats.sock"}}
	m := NewComposer(o, []ServiceConfig{plain("a")}, "host").Compose(snapshot(svc("a", at("10.0.0.1"))), testTime)
	if !strings.Contains(string(m.Render()), "\tstats socket /tmp/stats.sock mode 660 level admin expose-fd listeners\n") {
		t.Error("no stats socket")
	}
	check(t, m)
	// A TCP backend has no requests, so no guard.
	tcp := plain("db")
	tcp.Options.Backend = []string{"mode tcp"}
	for _, spec := range []ServiceConfig{plain("db"), tcp} {
		m := NewComposer(o, []ServiceConfig{spec}, "host").Compose(snapshot(svc("db", at("10.0.0.1"))), testTime)
		if guarded := strings.Contains(string(m.Sections[0].Text), retryGuard); guarded == (spec.Options.Backend != nil) {
			t.Errorf("guarded: %v\n%s", guarded, m.Sections[0].Text)
		}
		check(t, m)
	}
}

func TestComposeDisabledAndUnconfigured(t *testing.T) {
	off := plain("off")
	off.Options.Disabled = true
	m := NewComposer(Options{}, []ServiceConfig{off}, "host").Compose(snapshot(svc("off", at("h")), svc("new", at("h"))), testTime)
	if got := body(m); strings.Contains(got, "off") || !strings.Contains(got, "\nbackend new\n") || strings.Contains(got, "frontend") {
		t.Errorf("got %s", got)
	}
}

func TestComposeOptionsFromRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		want    string // within the text
		warning string
	}{
		"replace all":          {`{"port":"9","backend":["mode tcp"]}`, "\tbind localhost:9\n\tdefault_backend a\n\nbackend a\n\tmode tcp\n\tserver n_h:80 h:80 id 1\n", ""},
		"without listen":       {`{"port":9,"server_options":"check"}`, "cookie n_h:80 check\n", ""},
		"no frontend":          {`{"backend_name":"pool"}`, "\nbackend pool\n\tserver", ""},
		"empty":                {`{}`, "bind localhost:8000", ""},
		"a string":             {`"x"`, "bind localhost:8000", "want an object"},
		"a list":               {`[]`, "bind localhost:8000", "want an object"},
		"null":                 {`null`, "bind localhost:8000", "want an object"},
		"no JSON":              {`{"port":`, "bind localhost:8000", "not used"},
		"wrong type":           {`{"listen":{"a":1}}`, "bind localhost:8000", "not used"},
		"bad port":             {`{"port":"80\n\tbind :1"}`, "bind localhost:8000", "port"},
		"bad bind address":     {`{"port":80,"bind_address":"a b"}`, "bind localhost:8000", "bind_address"},
		"bad bind options":     {`{"port":80,"bind_options":"ssl\nx"}`, "bind localhost:8000", "bind_options"},
		"bad backend name":     {`{"backend_name":"a\nb"}`, "bind localhost:8000", "backend_name"},
		"name of another":      {`{"backend_name":"other"}`, "bind localhost:8000", "belongs to service"},
		"name of extra":        {`{"backend_name":"extra"}`, "bind localhost:8000", "top-level"},
		"bad server options":   {`{"port":80,"server_options":"check #"}`, "bind localhost:8000", "server_options"},
		"bad line":             {`{"port":80,"backend":["balance source\nlisten x"]}`, "\nbackend a\n\tserver", "line break"},
		"unknown key is stood": {`{"port":80,"nonsense":1}`, "bind localhost:80\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Defaults: []string{"mode http"}, ExtraSections: config.Map[[]string]{{Key: "listen extra", Value: []string{"bind :1"}}}}
			cp := NewComposer(o, []ServiceConfig{plain("a"), plain("other")}, "host")
			m := cp.Compose(snapshot(fromData(svc("a", at("h")), c.options)), testTime)
			if got := body(m); !strings.Contains(got, c.want) {
				t.Errorf("got %s", got)
			}
			if got := warningsOf(m); !strings.Contains(got, c.warning) || (c.warning == "") != (got == "") {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
			m = cp.Compose(snapshot(svc("a", at("h"))), testTime)
			if got := body(m); !strings.Contains(got, "bind localhost:8000") || warningsOf(m) != "" {
				t.Errorf("after the options are gone: %s", got)
			}
		})
	}
}

func TestComposeUnknownCarriesOver(t *testing.T) {
	c := NewComposer(Options{Defaults: []string{"mode http"}}, []ServiceConfig{plain("web"), plain("new")}, "host")
	c.Recall([]byte(oldFile), nil)
	unknown := func(name string) *service.Service {
		return &service.Service{Name: name, Origin: service.Unknown}
	}
	m := c.Compose(snapshot(unknown("web"), unknown("new")), testTime)
	_, old, _ := strings.Cut(oldFile, "\tstats enable\n")
	want := old + "\n\nfrontend new\n\tmode http\n\tbind localhost:8000\n\tdefault_backend new\n\nbackend new\n\tmode http\n"
	if diff := cmp.Diff(want, body(m)); diff != "" {
		t.Error(diff)
	}
	web := m.Sections[0]
	if !web.Carried || web.BackendName != "pool" || web.Bare || web.Servers != nil || !m.Sections[1].Bare || !m.Sections[1].Carried {
		t.Errorf("got %+v", web)
	}
	m = c.Compose(snapshot(svc("web", service.Backend{Name: "a", Host: "h", Port: 1}, at("x"))), testTime)
	if got := body(m); !strings.Contains(got, "\tserver a_h:1 h:1 id 7 ") || !strings.Contains(got, "\tserver n_x:80 x:80 id 1 ") || m.Sections[0].Carried {
		t.Errorf("the id of the old file is lost: %s", got)
	}
}

func TestComposeIDsStay(t *testing.T) {
	c := NewComposer(Options{}, []ServiceConfig{plain("a")}, "host")
	ids := func(backends ...service.Backend) map[string]int {
		got := map[string]int{}
		for _, s := range c.Compose(snapshot(svc("a", backends...)), testTime).Sections[0].Servers {
			got[s.Host] = s.ID
		}
		return got
	}
	for i, step := range []struct {
		hosts []string
		want  map[string]int
	}{
		{[]string{"x", "y", "z"}, map[string]int{"x": 1, "y": 2, "z": 3}},
		{[]string{"z", "y"}, map[string]int{"y": 2, "z": 3}},
		{[]string{"w", "z", "y"}, map[string]int{"w": 4, "y": 2, "z": 3}}, // HAProxy may still drain 1
		{[]string{"x", "w", "z", "y"}, map[string]int{"w": 4, "y": 2, "z": 3, "x": 1}},
	} {
		var backends []service.Backend
		for _, h := range step.hosts {
			backends = append(backends, at(h))
		}
		if diff := cmp.Diff(step.want, ids(backends...)); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

func TestComposeRemembers(t *testing.T) {
	o := Options{StateFilePath: "/x", StateFileTTL: config.Seconds(time.Hour)}
	spec := plain("a")
	spec.Raw = `{"port":8000}`
	c := NewComposer(o, []ServiceConfig{spec}, "host")
	x, y := at("x"), at("y")
	c.Compose(snapshot(svc("a", x, y)), testTime)
	if !c.NextExpiry().IsZero() {
		t.Error("nothing is gone, but something expires")
	}
	onlyY := snapshot(svc("a", y))
	m := c.Compose(onlyY, testTime.Add(time.Minute))
	if got := body(m); !strings.Contains(got, "\tserver n_x:80 x:80 id 1 cookie n_x:80 check disabled\n") {
		t.Errorf("x is not remembered: %s", got)
	}
	expiry := testTime.Add(time.Minute + time.Hour)
	if got := c.NextExpiry(); !got.Equal(expiry) {
		t.Errorf("expires at %v, want %v", got, expiry)
	}

	state := c.State(onlyY, testTime.Add(2*time.Minute))
	if diff := cmp.Diff(State{{Service: "a", Config: `{"port":8000}`, Servers: []Remembered{
		{Server: "n_x:80", Backend: x, ID: 1, Seen: testTime.Add(time.Minute)},
		{Server: "n_y:80", Backend: y, ID: 2, Seen: testTime.Add(2 * time.Minute)},
	}}}, state); diff != "" {
		t.Error(diff)
	}

	restarted := NewComposer(o, []ServiceConfig{spec}, "host")
	restarted.Recall(nil, state)
	if diff := cmp.Diff(body(m), body(restarted.Compose(onlyY, testTime.Add(3*time.Minute)))); diff != "" {
		t.Errorf("a restart changes the file: %s", diff)
	}

	if got := c.Compose(onlyY, expiry.Add(-time.Second)); got.Sections[0] != m.Sections[0] {
		t.Error("the section changed before x expired")
	}
	if got := body(c.Compose(onlyY, expiry)); strings.Contains(got, "n_x") {
		t.Errorf("x is not forgotten: %s", got)
	}
}

func TestComposeHandWrittenServers(t *testing.T) {
	spec := plain("a")
	spec.Options.Backend = []string{"server n_h:80 1.2.3.4:5 id 1"}
	m := NewComposer(Options{}, []ServiceConfig{spec}, "host").Compose(snapshot(svc("a", service.Backend{Name: "n", Host: "127.0.0.1", Port: 80})), testTime)
	if s := m.Sections[0].Servers[0]; s.ID != 2 {
		t.Errorf("got %+v", s)
	}
	check(t, m)
}

func TestClashesAreLeftOut(t *testing.T) {
	pool, second, front := plain("one"), plain("two"), plain("three")
	pool.Options.BackendName, second.Options.BackendName = "pool", "pool"
	pool.Options.Port, front.Options.Port = optional("8001"), optional("8003")
	off := plain("off")
	off.Options.BackendName, off.Options.Disabled = "three", true
	o := Options{ExtraSections: config.Map[[]string]{{Key: "frontend off", Value: []string{"bind :8004"}}}}
	specs := []ServiceConfig{off, pool, second, front}
	m := NewComposer(o, specs, "host").Compose(snapshot(svc("off"), svc("one"), svc("two"), svc("three")), testTime)
	if got := body(m); strings.Contains(got, "two") || !strings.Contains(got, "backend pool") || !strings.Contains(got, "frontend three") {
		t.Errorf("got %s", got)
	}
	if got := warningsOf(m); !strings.Contains(got, `two: backend pool: service "one" has this name already`) {
		t.Errorf("warnings: %s", got)
	}
	if got := Clashes(&o, specs); len(got) != 1 {
		t.Errorf("clashes: %v", got)
	}
	check(t, m)
}

func TestSharedFrontendNeedsTopLevel(t *testing.T) {
	spec := plain("a")
	spec.Options.SharedFrontend = []string{"acl x always_true"}
	m := NewComposer(Options{}, []ServiceConfig{spec}, "host").Compose(snapshot(svc("a")), testTime)
	if m.SharedFrontend != nil || !strings.Contains(warningsOf(m), "shared_frontend") {
		t.Errorf("got %s, warnings %s", m.SharedFrontend, warningsOf(m))
	}
}

// TestHAProxyTakesOddServers holds that servers which pass validation, odd as
// they are, do not make the real HAProxy refuse the file.
func TestHAProxyTakesOddServers(t *testing.T) {
	odd := []service.Backend{
		{Name: "a/b", Host: "10.0.0.1", Port: 80},
		{Name: "a=b", Host: "10.0.0.1", Port: 80, ServerOptions: "id 1"},
		{Name: "a_b", Host: "10.0.0.1", Port: 80, ServerOptions: "check id 1 backup"},
		{Name: "größe$HOME", Host: "10.0.0.2", Port: 80, ServerOptions: "id 0", Weight: service.KnownInt(99999)},
		{Host: "::1", Port: 80, ServerOptions: "weight 257 id 7 id 8"},
		{Name: "words", Host: "10.0.0.3", Port: 80, ServerOptions: strings.Repeat("check ", 200)},
		{Name: "gone", Host: "does-not-resolve.invalid", Port: 80, ServerOptions: "id"},
		{Host: "10.0.0.4", Port: 65535, Backup: true, ServerOptions: "disabled", ServerID: 8},
	}
	var b service.Builder
	for _, x := range odd {
		b.Add("entry", x)
	}
	u := b.Update()
	for _, weights := range []bool{false, true} {
		c := NewComposer(Options{UseNerveWeights: weights}, []ServiceConfig{plain("web")}, "host")
		m := c.Compose(snapshot(svc("web", set(u)...)), testTime)
		if got := len(m.Sections[0].Servers); got != len(odd) {
			t.Errorf("%d servers, want %d: %v", got, len(odd), u.Rejected)
		}
		check(t, m)
	}
}
