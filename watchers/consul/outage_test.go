package consul

import (
	"net/http"
	"testing"
	"testing/synctest"

	"smartstack/internal/consulconn"
	"smartstack/test/consulfake"
	"smartstack/test/pipenet"
	"smartstack/watchers/watchertest"
)

// Consul dies, stalls or refuses for ten minutes of simulated time: nothing is
// said of fewer backends, the fault is told, and what comes later is followed.
func TestTenMinutesWithoutConsul(t *testing.T) {
	for name, ill := range map[string]http.HandlerFunc{
		"dead":   nil,
		"silent": consulfake.Hang,
		"500":    consulfake.Status(http.StatusInternalServerError, "No cluster leader"),
		"403":    consulfake.Status(http.StatusForbidden, "ACL not found"),
		"a page": consulfake.Status(http.StatusOK, "<html>not here</html>"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				agent := consulfake.New()
				dial, stop := pipenet.Serve(agent)
				defer stop()
				network := pipenet.NewBreaker(dial)
				instances := []consulfake.Instance{{Node: "a", Address: "10.0.0.1", Port: 80}, {Node: "b", Address: "10.0.0.2", Port: 80}}
				agent.Set("web", instances...)
				w, err := New(options(t, `{"hosts": "agent", "service": "web"}`), consulconn.NewPoolOver(quiet(), network.Dial), quiet())
				if err != nil {
					t.Fatal(err)
				}
				watchertest.Outage{Watcher: w, Begin: func() {
					if name == "dead" {
						network.Die()
					}
					agent.Instead(ill)
				}, End: func() {
					agent.Instead(nil)
					agent.Set("web", append(instances, consulfake.Instance{Node: "c", Address: "10.0.0.3", Port: 80})...)
					network.Heal()
				}}.Run(t)
			})
		})
	}
}
