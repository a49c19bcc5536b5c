package main

import (
	"context"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// convergence measures the hops of a change: from nerve's decision to the
// source's word, of which the reading after the registry's event is a part; from
// that word to the hand-over, and from that word to its being in force.
type convergence struct{ decided, read, handed, applied *telemetry.Histogram }

func newConvergence() convergence {
	hop := func() *telemetry.Histogram { return telemetry.NewHistogram(hopBounds[:]...) }
	return convergence{decided: hop(), read: hop(), handed: hop(), applied: hop()}
}

// hopBounds are in seconds.
var hopBounds = [...]float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func (c *convergence) metrics(e *telemetry.Exposition) {
	e.Metric("smartstack_convergence_seconds", "histogram", "Time from nerve's decision to the source's word, when the change was read (decided); from the registry's event to that word (read); from that word to the hand-over to HAProxy's output (handed); and from that word, the hand-over included, to its being in force in HAProxy (applied), in seconds.")
	e.Histogram(c.decided, "hop", "decided")
	e.Histogram(c.read, "hop", "read")
	e.Histogram(c.handed, "hop", "handed")
	e.Histogram(c.applied, "hop", "applied")
}

// timed measures what an output takes, and lets it do its work.
type timed struct {
	service.Output
	hops    convergence
	applied func() uint64 // the revision in force; nil = what Apply did is in force
	handed  uint64        // the newest revision that was handed over
	done    uint64        // the newest that is in force
	last    []*service.Service
}

// Apply is the output's.
func (t *timed) Apply(ctx context.Context, s service.Snapshot) (time.Duration, error) {
	start := time.Now()
	if s.Rev > t.handed {
		observe(t.hops.handed, s, t.handed, start)
		t.hear(s)
		t.handed = s.Rev
	}
	again, err := t.Output.Apply(ctx, s)
	if err == nil && s.Rev > t.done && (t.applied == nil || t.applied() >= s.Rev) {
		observe(t.hops.applied, s, t.done, time.Now())
		t.done = s.Rev
	}
	return again, err
}

// observe takes the services that have changed since a revision.
func observe(h *telemetry.Histogram, s service.Snapshot, since uint64, now time.Time) {
	if since == 0 {
		return // the start: how long everything took says nothing about a change
	}
	for _, svc := range s.Services {
		if svc.Rev > since {
			h.Observe(now.Sub(svc.Changed))
		}
	}
}

// tooLate is how old a decision may be that is news: an older one is of a
// registration that was made anew, or of a clock that is wrong.
const tooLate = 10 * time.Minute

// hear takes the hops up to the source's word, of the services that are not what
// they were in the snapshot before.
func (t *timed) hear(s service.Snapshot) {
	before, _ := service.Rematch(t.last, t.last, s.Services)
	for i, svc := range s.Services {
		old := before[i]
		if old == nil || old == svc || svc.Origin != service.Discovered || old.Origin != service.Discovered && old.Origin != service.Previous {
			continue // its source may have spoken for the first time
		}
		if !svc.Noticed.IsZero() {
			t.hops.read.Observe(svc.Changed.Sub(svc.Noticed))
		}
		observeDecided(t.hops.decided, old, svc)
	}
	t.last = s.Services
}

// observeDecided takes the backends that have come, or changed, if their
// registration tells when nerve decided so. A decision in the future, by another
// host's clock, counts as 0.
func observeDecided(h *telemetry.Histogram, old, svc *service.Service) {
	there := make(map[service.Backend]bool, old.Backends.Len())
	for b := range old.Backends.All() {
		there[b] = true
	}
	for b := range svc.Backends.All() {
		if b.Decided == 0 || there[b] {
			continue
		}
		if took := svc.Changed.Sub(time.UnixMilli(b.Decided)); took <= tooLate {
			h.Observe(took)
		}
	}
}
