package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/synapse"
	"smartstack/internal/telemetry"
)

// window is through which people and scrapers look into the program. Handlers
// run on any goroutine and see the scene alone.
type window struct {
	server *control.Server
	scene  atomic.Pointer[scene]
	convergence
}

func newWindow(p *program) *window {
	w := &window{server: control.New("synapse", p.log), convergence: newConvergence()}
	inside.Register(w.server, inside.Program{
		Name: "synapse", Version: version, Log: p.start.Telemetry,
		Alive: func(ctx context.Context) error {
			s, err := w.now()
			if err == nil {
				_, err = s.hub.Look(ctx, "")
			}
			if errors.Is(err, synapse.ErrNoService) {
				return nil // it has answered
			}
			return err
		},
		Ready: func(context.Context) error {
			s, err := w.now()
			if err != nil {
				return err
			}
			return s.ready()
		},
		Board: func(ctx context.Context, scope inside.Scope) (*inside.Board, error) {
			s, err := w.now()
			if err != nil {
				return nil, err
			}
			return s.board(ctx, scope)
		},
		Explain: func(ctx context.Context, name, where string) (*inside.Story, error) {
			s, err := w.now()
			if err != nil {
				return nil, err
			}
			return s.explain(ctx, name, where)
		},
		Metrics: func(ctx context.Context, e *telemetry.Exposition) {
			if s, err := w.now(); err == nil {
				w.convergence.metrics(e)
				s.metrics(ctx, e)
			}
		},
	})
	w.server.Handle("GET /diff", control.Read, w.server.Big(control.JSON(func(r *http.Request) (any, error) {
		s, err := w.now()
		if err != nil {
			return nil, err
		}
		return s.diff(r.Context())
	})))
	w.server.Handle("GET /metrics/haproxy", control.Read, http.HandlerFunc(w.haproxyMetrics))
	return w
}

func (w *window) now() (*scene, error) {
	if s := w.scene.Load(); s != nil {
		return s, nil
	}
	return nil, control.Failure(http.StatusServiceUnavailable, "synapse is starting")
}

// haproxyMetrics re-exports HAProxy's own figures, for those who want them
// from one place.
func (w *window) haproxyMetrics(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", telemetry.ExpositionType)
	e := telemetry.NewExposition(rw)
	if s, err := w.now(); err == nil && s.asks() {
		ctx, cancel := context.WithTimeout(r.Context(), 8*time.Second)
		defer cancel()
		if err := s.haproxyMetrics(ctx, e); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable) // an empty answer would pass for a good one
			return
		}
	}
	e.End()
}

// open shows what is in force from now on, and answers where o says. That
// nobody can be answered is a fault, but not one that HAProxy should wait for.
func (w *window) open(p *program, s *scene, o control.Options) {
	w.scene.Store(s)
	if err := w.server.Configure(o); err != nil {
		for line := range strings.Lines(err.Error()) {
			p.log.Error("nobody can ask this synapse there", "err", strings.TrimSpace(line))
		}
	}
}

// send says where the originals' metrics go from now on.
func (p *program) send(o statsd) { p.statsd.Configure(o.Host, o.Port, o.SampleRate) }

// stopTags are the original's words for how the program ends.
func stopTags(err error, location string) []string {
	if err == nil {
		return []string{"stop_avenue:clean", "stop_location:" + location}
	}
	return append([]string{"stop_avenue:abort", "stop_location:" + location}, telemetry.Exception(err)...)
}
