package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/internal/telemetry"
)

// crowd runs a hub with 1,000 services of 10 backends and returns what those
// who ask see; HAProxy is left out.
func crowd(b *testing.B) *scene {
	b.Helper()
	var c synapse.Config
	s := &scene{sources: map[string]string{}, started: time.Now(), looker: newLooker()}
	for i := range 1000 {
		name := fmt.Sprintf("service-%d", i)
		backends := make([]service.Backend, 10)
		for k := range backends {
			backends[k] = service.Backend{Name: "w", Host: fmt.Sprintf("10.0.%d.%d", k, i%250), Port: 1000 + i}
		}
		s.sources[name] = "zookeeper path=/services/" + name + " hosts=zk1:2181,zk2:2181,zk3:2181"
		c.Services = append(c.Services, synapse.Definition{Name: name, Source: synapse.Source{Key: name, Watcher: says(backends)}})
	}
	taken := make(chan service.Snapshot, 1)
	c.Outputs, c.StartDeadline = []service.Output{&first{taken: taken}}, time.Minute
	s.hub = synapse.New(c, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.hub.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	<-taken
	return s
}

// says is a watcher that says one thing.
type says []service.Backend

func (s says) Run(ctx context.Context, publish func(service.Update)) error {
	publish(service.Update{Backends: service.SetOf(s...)})
	<-ctx.Done()
	return nil
}

// BenchmarkMetrics is one scrape, but for HTTP.
func BenchmarkMetrics(b *testing.B) {
	s := crowd(b)
	for b.Loop() {
		e := telemetry.NewExposition(io.Discard)
		s.metrics(b.Context(), e)
		e.Process()
		e.End()
	}
}

// BenchmarkStatus is GET /status, and with every backend as the page asks.
func BenchmarkStatus(b *testing.B) {
	s := crowd(b)
	for name, full := range map[string]bool{"sums": false, "backends": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				board, err := s.board(b.Context(), inside.Scope{Full: full})
				if err == nil {
					err = board.WriteJSON(io.Discard)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
