package marathon

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
	"smartstack/test/marathonsim"
	"smartstack/test/pipenet"
)

// How long backends stay by default when Marathon lists none, and when it does
// not know the app.
func TestDefaultPatience(t *testing.T) {
	for name, c := range map[string]struct {
		becomes func(*marathonsim.Sim)
		stay    time.Duration
		emptied bool
	}{
		"no tasks, instances > 0": {func(s *marathonsim.Sim) { s.Set(web(2)) }, 30 * time.Second, false},
		"no app":                  {func(s *marathonsim.Sim) { s.Delete(id) }, 5 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := marathonsim.New()
				dial, stop := pipenet.Serve(sim)
				defer stop()
				sim.InsteadOfStream(marathonsim.Hang)
				sim.Set(web(2, task("h1", true), task("h2", true)))
				w := newWatcher(t, options(t, section("http://marathon:8080", "")), Deps{Pool: marathonconn.NewPoolOver(quiet(), dial)})
				var r recorder
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				supervised := supervise.New(func(ctx context.Context) error { return w.Run(ctx, r.publish) }, func(error, time.Duration) {})
				go func() { defer close(done); supervised.Supervise(ctx) }()
				defer func() { cancel(); <-done }()
				<-time.After(time.Minute)
				becomes := time.Now()
				c.becomes(sim)
				<-time.After(c.stay - time.Second)
				if u, _ := r.last(); u.Backends.Len() != 2 {
					t.Fatalf("%d backends after %v", u.Backends.Len(), time.Since(becomes))
				}
				<-time.After(15 * time.Second) // the next poll, at most 12 s later, began the wait
				if u, _ := r.last(); u.Backends.Len() != 0 || u.Emptied != c.emptied {
					t.Fatalf("%d backends after %v, emptied by the owner: %v", u.Backends.Len(), time.Since(becomes), u.Emptied)
				}
			})
		})
	}
}

// Checks by command count by their results, as all do, and no check of Marathon
// ever becomes one of HAProxy's.
func TestCommandChecksStayMarathons(t *testing.T) {
	a := app(t, `{"healthChecks": [{"protocol": "COMMAND", "command": {"value": "curl -f http://$HOST:$PORT0/; rm -rf /"}}]}`)
	for i, results := range [][]bool{{true}, {false}, nil} {
		a.Tasks = append(a.Tasks, marathonconn.Task{
			ID: string(rune('a' + i)), Host: "h" + string(rune('1'+i)), Ports: []marathonconn.Number{1}, State: "TASK_RUNNING", Results: alive(results...),
		})
	}
	c := rules{health: "any"}.count(a, newMemory(), now)
	u := c.builder.Update()
	if u.Backends.Len() != 1 || u.Generators != nil {
		t.Fatalf("%+v", u)
	}
	for b := range u.Backends.All() {
		if want := (service.Backend{Name: "h1", Host: "h1", Port: 1}); b != want {
			t.Errorf("%+v, want %+v", b, want)
		}
	}
	for _, idle := range u.Idle {
		if strings.Contains(idle.Reason, "curl") {
			t.Errorf("%+v", idle)
		}
	}
}
