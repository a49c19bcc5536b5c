package marathonconn

import (
	"net/http"
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
				pool := quietPool()
				pool.dial = dial
				sim.Set(appOf("/web", "h1", "h2"))
				s := pool.Subscribe(target(t, Access{}, "http://marathon:8080"), Query{App: "/web"}, Pace{}, false)
				defer s.Close()
				<-time.After(10 * time.Second)
				if a, ok := s.Take(); !ok || !tasks(2)(a) {
					t.Fatalf("%+v, fault %v", a, s.Fault())
				}
				before := len(sim.Requests())
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
				if n := len(sim.Requests()) - before; n < 8 || n > 150 {
					t.Errorf("%d reads in ten minutes", n)
				}
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
