package marathon

import (
	"net/http"
	"testing"
	"testing/synctest"

	"smartstack/internal/marathonconn"
	"smartstack/test/marathonsim"
	"smartstack/test/pipenet"
	"smartstack/watchers/watchertest"
)

// Marathon dies, stalls or lies for ten minutes of simulated time: nothing is
// said of fewer backends, the fault is told, and what comes later is followed.
func TestTenMinutesWithoutMarathon(t *testing.T) {
	for name, ill := range map[string]http.HandlerFunc{
		"dead":       nil,
		"silent":     marathonsim.Hang,
		"502":        marathonsim.Status(http.StatusBadGateway, "<html>no leader</html>"),
		"403":        marathonsim.Status(http.StatusForbidden, `{"message":"no"}`),
		"only ports": marathonsim.JSON(`{"app":{"id":"/shop/web","instances":2,"tasks":[{"id":"a","host":"h1","state":"TASK_RUNNING"}]}}`),
	} {
		for _, transport := range []string{"events", "poll"} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					sim := marathonsim.New()
					dial, stop := pipenet.Serve(sim)
					defer stop()
					network := pipenet.NewBreaker(dial)
					sim.Set(web(2, task("h1", true), task("h2", true)))
					w := newWatcher(t, options(t, section("http://marathon:8080", `, "transport": "`+transport+`"`)),
						Deps{Pool: marathonconn.NewPoolOver(quiet(), network.Dial)})
					watchertest.Outage{Watcher: w, Begin: func() {
						if name == "dead" {
							network.Die()
						}
						sim.Instead(ill)
						sim.CutStreams()
					}, End: func() {
						sim.Set(web(3, task("h1", true), task("h2", true), task("h3", true)))
						sim.Instead(nil)
						network.Heal()
					}}.Run(t)
				})
			})
		}
	}
}
