package marathon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/test/marathonsim"
	"smartstack/test/pipenet"
)

// What changes with an event is published with its time, for the hop read; what
// was there at the start is not, and neither is what a poll finds.
func TestEventsAreNoticed(t *testing.T) {
	for _, transport := range []string{"events", "poll"} {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := marathonsim.New()
				dial, stop := pipenet.Serve(sim)
				defer stop()
				sim.Set(web(1, task("10.0.0.1", true)))
				w := newWatcher(t, options(t, section("http://marathon:8080", `, "transport": "`+transport+`"`)), Deps{Pool: marathonconn.NewPoolOver(quiet(), dial)})
				ctx, cancel := context.WithCancel(t.Context())
				var last service.Update
				done := make(chan struct{})
				go func() { defer close(done); _ = w.Run(ctx, func(u service.Update) { last = u }) }()
				<-time.After(10 * time.Second)
				synctest.Wait()
				if last.Backends.Len() != 1 || !last.Noticed.IsZero() {
					t.Errorf("at the start: %d backends, noticed at %v", last.Backends.Len(), last.Noticed)
				}
				sim.Set(web(2, task("10.0.0.1", true), task("10.0.0.2", true)))
				want := time.Time{}
				if transport == "events" {
					want = time.Now()
				}
				sim.Changed(id)
				<-time.After(5 * time.Minute)
				synctest.Wait()
				if last.Backends.Len() != 2 || !last.Noticed.Equal(want) {
					t.Errorf("after the change: %d backends, noticed at %v, want %v", last.Backends.Len(), last.Noticed, want)
				}
				cancel()
				<-done
			})
		})
	}
}
