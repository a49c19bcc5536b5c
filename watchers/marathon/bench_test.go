package marathon

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/test/marathonsim"
)

// BenchmarkEventToPublish measures the way from Marathon's event about one app
// of 500 to the watcher's word, the simulator's own answer included. reads/op
// are the requests that the event made meanwhile.
func BenchmarkEventToPublish(b *testing.B) {
	const apps = 500
	sim := marathonsim.Start(b)
	pool := marathonconn.NewPool(quiet())
	ctx, cancel := context.WithCancel(b.Context())
	said := make([]chan int, apps)
	ended := make(chan error, apps)
	for i := range apps {
		said[i] = make(chan int, 16)
		set(sim, i, 0)
		o := options(b, section(sim.URL, `, "check_interval": 3600, "resync_interval": 3600`))
		o.App = name(i)
		w := newWatcher(b, o, Deps{Pool: pool})
		go func() {
			ended <- w.Run(ctx, func(u service.Update) {
				for backend := range u.Backends.All() {
					said[i] <- backend.Port
				}
			})
		}()
	}
	defer func() {
		cancel()
		for range apps {
			<-ended
		}
	}()
	for i := range apps {
		<-said[i]
	}
	// All are read once more when the stream is there; wait until that is over.
	for seen := -1; seen != len(sim.Requests()); <-time.After(500 * time.Millisecond) {
		seen = len(sim.Requests())
	}
	var took []time.Duration
	before, round, cycle := len(sim.Requests()), 0, time.Now()
	for b.Loop() {
		i := (round * 7) % apps
		if round++; round%apps == 0 { // no app is read more often than four times a second
			b.StopTimer()
			<-time.After(time.Until(cycle.Add(300 * time.Millisecond)))
			cycle = time.Now()
			b.StartTimer()
		}
		set(sim, i, round)
		began := time.Now()
		sim.Changed(name(i))
		for <-said[i] != port(round) {
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(len(sim.Requests())-before)/float64(round), "reads/op")
}

func name(i int) string  { return fmt.Sprintf("/bench/app%d", i) }
func port(round int) int { return 1000 + round%60_000 }
func set(sim *marathonsim.Sim, i, round int) {
	sim.Set(marathonsim.App{ID: name(i), Instances: 1, Tasks: []marathonsim.Task{{Host: "10.0.0.1", Ports: []int{port(round)}}}})
}
