package marathonconn

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/test/marathonsim"
	"smartstack/test/pipenet"
)

// Marathon dies, stalls or lies for ten minutes of simulated time: nobody hears
// of fewer tasks, the fault is told, and Marathon is asked with restraint.
func TestTenMinutesWithoutMarathon(t *testing.T) {
	for name, ill := range map[string]http.HandlerFunc{
		"dead":        nil,
		"silent":      marathonsim.Hang,
		"502":         marathonsim.Status(http.StatusBadGateway, "<html>no leader</html>"),
		"401":         marathonsim.Status(http.StatusUnauthorized, `{"message":"no"}`),
		"another app": marathonsim.JSON(`{"app":{"id":"/other","tasks":[]}}`),
		"no app":      marathonsim.JSON(`{}`),
		"cut":         marathonsim.JSON(`{"app":{"id":"/web","tasks":[`),
		"a page":      marathonsim.Status(http.StatusNotFound, "<html>not here</html>"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := marathonsim.New()
				dial, stop := pipenet.Serve(sim)
				defer stop()
				network := pipenet.NewBreaker(dial)
				pool := NewPoolOver(slog.New(slog.DiscardHandler), network.Dial)
				sim.Set(appOf("/web", "h1", "h2"))
				s := pool.Subscribe(target(t, Access{}, "http://marathon:8080"), Query{App: "/web"}, Pace{}, false)
				defer s.Close()
				<-time.After(10 * time.Second)
				if a, ok := s.Take(); !ok || !tasks(2)(a) {
					t.Fatalf("%+v, fault %v", a, s.Fault())
				}
				before := len(sim.Requests())
				if name == "dead" {
					network.Die()
				}
				sim.Instead(ill)
				sim.InsteadOfStream(ill)
				sim.CutStreams()
				<-time.After(10 * time.Minute)
				if a, ok := s.Take(); ok {
					t.Errorf("an answer: %+v", a)
				}
				if s.Fault() == nil {
					t.Error("no fault is told")
				}
				if n := len(sim.Requests()) - before; name != "dead" && n < 8 || n > 150 {
					t.Errorf("%d reads in ten minutes", n)
				}
				network.Heal()
				sim.Instead(nil)
				sim.InsteadOfStream(nil)
				sim.Set(appOf("/web", "h1", "h2", "h3"))
				<-time.After(2 * time.Minute)
				if a, ok := s.Take(); !ok || !tasks(3)(a) || s.Fault() != nil {
					t.Errorf("afterwards: %+v, fault %v", a, s.Fault())
				}
			})
		})
	}
}

// One app that cannot be read backs off by itself and is named once, whatever
// the others do.
func TestOneBadAppAmongMany(t *testing.T) {
	for name, ill := range map[string]struct {
		status    int
		most      int // requests for the bad app
		transport Pace
	}{
		"403, polled":      {http.StatusForbidden, 2 * 30, Pace{Poll: true}}, // each read makes two calls
		"403, with events": {http.StatusForbidden, 2 * 30, Pace{}},
		"500":              {http.StatusInternalServerError, 45, Pace{Poll: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := marathonsim.New()
				dial, stop := pipenet.Serve(sim)
				defer stop()
				var log lockedBuffer
				pool := NewPool(slog.New(slog.NewTextHandler(&log, nil)))
				pool.dial = dial
				to := target(t, Access{}, "http://marathon:8080")
				sim.InsteadOf("/bad", marathonsim.Status(ill.status, `{"message":"no"}`))
				bad := pool.Subscribe(to, Query{App: "/bad"}, ill.transport, false)
				defer bad.Close()
				for i := range 20 {
					id := fmt.Sprint("/app", i)
					sim.Set(appOf(id, "h1"))
					defer pool.Subscribe(to, Query{App: id}, ill.transport, false).Close()
				}
				<-time.After(10 * time.Minute)
				if n := sim.Reads("/bad"); n < 10 || n > ill.most {
					t.Errorf("%d requests for the app that cannot be read, want 10 to %d", n, ill.most)
				}
				if n := strings.Count(log.String(), "cannot be read"); n != 1 || !strings.Contains(log.String(), "app=/bad") {
					t.Errorf("want one line about the app, got %d:\n%s", n, log.String())
				}
				sim.InsteadOf("/bad", nil)
				sim.Set(appOf("/bad", "h1"))
				<-time.After(2 * time.Minute)
				if a, ok := bad.Take(); !ok || !tasks(1)(a) || strings.Count(log.String(), "answers again") != 1 {
					t.Errorf("afterwards: %+v, fault %v\n%s", a, bad.Fault(), log.String())
				}
			})
		})
	}
}
