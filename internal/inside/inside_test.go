package inside

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/control"
	"smartstack/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts a server with a small program behind it.
func open(t *testing.T, change func(*Program)) (*control.Client, *telemetry.Log) {
	t.Helper()
	log, err := telemetry.NewLog(io.Discard, false, telemetry.JSON)
	if err != nil {
		t.Fatal(err)
	}
	p := Program{
		Name: "nerve", Version: "1", Log: log,
		Alive: func(context.Context) error { return nil }, Ready: func(context.Context) error { return nil },
		Board: func(_ context.Context, scope Scope) (*Board, error) {
			b := &Board{About: About{Version: Version, Program: "nerve"}, Summary: Summary{Problems: []string{}}, Services: []Service{{Name: "web"}}}
			if scope.Full {
				b.Services[0].Backends = []Backend{{Address: "a", Server: &Server{Name: "s"}}}
			}
			return b, nil
		},
		Explain: func(_ context.Context, name, _ string) (*Story, error) {
			return &Story{Version: Version, Service: Service{Name: name}}, nil
		},
		Metrics: func(_ context.Context, e *telemetry.Exposition) { e.Metric("mine", "gauge", "Mine."); e.Sample(7) },
	}
	if change != nil {
		change(&p)
	}
	dir, err := os.MkdirTemp("", "i")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	server := control.New("nerve", log.Logger)
	t.Cleanup(server.Close)
	Register(server, p)
	path := filepath.Join(dir, "s")
	if err := server.Configure(control.Options{Socket: path}); err != nil {
		t.Fatal(err)
	}
	return control.NewClient(path), log
}

func TestStatusExplainAndEvents(t *testing.T) {
	c, log := open(t, nil)
	log.Logger.Info("changed", "service", "web", "added", "10.0.0.1:80")
	log.Logger.Warn("changed", "service", "db", "added", "10.0.0.2:80")
	var b Board
	if err := c.Get(t.Context(), "/status?backends", &b); err != nil || b.Seq != log.Journal.Newest() || len(b.Services[0].Backends) != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	if b.Services[0].Backends[0].Server == nil {
		t.Error("a full answer lacks the server")
	}
	b = Board{}
	if err := c.Get(t.Context(), "/status?backends=short", &b); err != nil || len(b.Services[0].Backends) != 1 || b.Services[0].Backends[0].Server != nil {
		t.Errorf("%+v, %v", b, err)
	}
	var s Story
	if err := c.Get(t.Context(), "/explain?service=web", &s); err != nil || len(s.Events) != 1 || s.Events[0].Service != "web" {
		t.Errorf("%+v, %v", s, err)
	}
	s = Story{}
	if err := c.Get(t.Context(), "/explain?service=web&backend=10.0.0.9:80", &s); err != nil || len(s.Events) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	log.Logger.Warn("service is down", "service", "web", "check", "tcp-127.0.0.1:80")
	s = Story{}
	if err := c.Get(t.Context(), "/explain?service=web&backend=check+tcp-127.0.0.1:80", &s); err != nil || len(s.Events) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	var e Events
	if err := c.Get(t.Context(), "/events?service=db", &e); err != nil || len(e.Events) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := c.Get(t.Context(), "/events?after=x", &e); err == nil {
		t.Error("took x for a number")
	}
	enough := errors.New("enough")
	var seen []string
	err := c.Events(t.Context(), "/events/stream?after=0", func(e control.Event) error {
		if seen = append(seen, string(e.Data)); strings.Contains(string(e.Data), `"db"`) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("%v, %v", err, seen)
	}
}

func TestHealthTellsWhyNot(t *testing.T) {
	c, _ := open(t, func(p *Program) { p.Ready = func(context.Context) error { return ErrNotYet } })
	if err := c.Get(t.Context(), "/healthz", nil); err != nil {
		t.Error(err)
	}
	var e *control.Error
	if err := c.Get(t.Context(), "/readyz", nil); !errors.As(err, &e) || e.Status != http.StatusServiceUnavailable || !strings.Contains(e.Message, "not all answered") {
		t.Error(err)
	}
	var text []byte
	if err := c.Get(t.Context(), "/metrics", &text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"smartstack_ready 0\n", "mine 7\n", `program="nerve",version="1"`, "process_resident_memory_bytes"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
}

func TestTheLevelCanBeSet(t *testing.T) {
	c, log := open(t, nil)
	var l LevelOrder
	if err := c.Post(t.Context(), "/log-level", LevelOrder{Level: "debug"}, &l); err != nil || l.Level != "debug" || log.Level.Level() != -4 {
		t.Errorf("%+v, %v", l, err)
	}
	if err := c.Post(t.Context(), "/log-level", LevelOrder{Level: "loud"}, nil); err == nil {
		t.Error("took loud for a level")
	}
}

// TestThePageBringsEverything looks for what the page would have to fetch, and
// for what its policy would not let run.
func TestThePageBringsEverything(t *testing.T) {
	c, _ := open(t, nil)
	var text []byte
	if err := c.Get(t.Context(), "/", &text); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"src=", "@import", "url(", "onclick=\"", "style=\"", "innerHTML", "PROGRAM", "http://", "https://"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
	if n := strings.Count(string(text), "<script"); n != 1 {
		t.Errorf("%d scripts", n)
	}
}

func TestEventsOfOneServiceAndOneAddress(t *testing.T) {
	_, log := open(t, nil)
	log.Logger.Info("changed", "service", "web", "added", "[10.0.0.1:80 10.0.0.2:80]")
	log.Logger.Info("changed HAProxy", "services", "db, web", "steps", "add web/w_10.0.0.1:80, drain db/d_10.0.0.9:80")
	log.Logger.Info("changed HAProxy", "services", "db, website", "steps", "add db/w_10.0.0.1:80")
	log.Logger.Info("web is not named as a service", "path", "/web")
	log.Logger.Warn("is down", "service", "<b>", "check", "<b> tcp-127.0.0.1:9")
	log.Logger.Info("reloaded", "services", "a, <b>")
	if got := Matching(log.Journal.Since(0), "<b>", "<b> tcp-127.0.0.1:9"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if got := Matching(log.Journal.Since(0), "<b>", ""); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	events := log.Journal.Since(0)
	for address, want := range map[string]int{"": 2, "10.0.0.1:80": 2, "10.0.0.2:80": 1, "10.0.0.1:8": 0, "0.0.0.1:80": 0, "10.0.0.9:80": 1} {
		if got := Matching(events, "web", address); len(got) != want {
			t.Errorf("%q: %d events, want %d: %+v", address, len(got), want, got)
		}
	}
}

// The page asks for the services that something has happened to.
func TestTheStatusOfSomeServices(t *testing.T) {
	var asked []Scope
	c, _ := open(t, func(p *Program) {
		p.Board = func(_ context.Context, s Scope) (*Board, error) {
			asked = append(asked, s)
			return &Board{}, nil
		}
	})
	for _, path := range []string{"/status?backends=short&service=web&service=a+b", "/status"} {
		var b Board
		if err := c.Get(t.Context(), path, &b); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]Scope{{Full: true, Services: []string{"web", "a b"}}, {}}, asked); d != "" {
		t.Error(d)
	}
}
