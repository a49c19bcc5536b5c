package ec2tag

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/test/ec2fake"
	"smartstack/test/pipenet"
	"smartstack/watchers/watchertest"
)

// EC2 dies, stalls or refuses for ten minutes of simulated time: nothing is said
// of fewer backends, the fault is told, and what comes later is followed.
func TestTenMinutesWithoutEC2(t *testing.T) {
	fleet := func(n int) []ec2fake.Instance {
		var list []ec2fake.Instance
		for i := range n {
			list = append(list, ec2fake.Instance{ID: fmt.Sprint("i-", i), PrivateIP: fmt.Sprint("10.0.0.", i+1), Tags: map[string]string{"role": "web"}})
		}
		return list
	}
	for name, ill := range map[string]http.HandlerFunc{
		"dead":   nil,
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"throttled": func(w http.ResponseWriter, _ *http.Request) {
			ec2fake.Refuse(w, 503, "RequestLimitExceeded", "Slow down.")
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := ec2fake.Start(t)
			synctest.Test(t, func(t *testing.T) {
				dial, stop := pipenet.Serve(fake)
				defer stop()
				network := pipenet.NewBreaker(dial)
				fake.Set(fleet(2)...)
				o := Options{TagName: "role", TagValue: value("web"), Address: "private_ip", CheckInterval: config.Seconds(15 * time.Second)}
				w, err := New(o, 80, ec2poll.NewPoolOver(quiet(), network.Dial), quiet())
				if err != nil {
					t.Fatal(err)
				}
				watchertest.Outage{Watcher: w, Begin: func() {
					if name == "dead" {
						network.Die()
					}
					fake.Instead(ill)
				}, End: func() {
					fake.Set(fleet(3)...)
					fake.Instead(nil)
					network.Heal()
				}}.Run(t)
			})
		})
	}
}
