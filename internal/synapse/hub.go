package synapse

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// How long a new source may stay silent before the one it replaces is stopped
// all the same.
const handoverLimit = 30 * time.Second

// Definition is one configured service.
type Definition struct {
	Name      string
	Policy    Policy
	Source    Source
	LastKnown func() Known // reads what an earlier run served, for when the source stays silent; nil = nothing is on record
}

// Known is the last known good state of a service.
type Known struct {
	Backends   service.Set
	Generators map[string]json.RawMessage
}

// Config is what the Hub runs. It is immutable.
type Config struct {
	Services      []Definition // in the order of the file; names are unique
	Outputs       []service.Output
	StartDeadline time.Duration // how long a service may keep the first snapshot waiting
	// Statsd takes the original's metrics, the same one over all
	// configurations; nil = nobody does. Version is a tag of some.
	Statsd  *telemetry.Statsd
	Version string
}

// Hub owns the current state of all services. Make it with New.
type Hub struct {
	log       *slog.Logger
	bell      *bell
	configs   chan Config
	questions chan question
	latest    atomic.Pointer[service.Snapshot]

	// Owned by Run's goroutine.
	ctx      context.Context
	began    time.Time
	config   Config
	services map[string]*tracked
	order    []*tracked         // as in config
	shown    []*service.Service // what the last snapshot has of each in order; nil = nothing
	fresh    []*tracked         // look different than in shown
	arranged bool               // shown is of order
	timed    map[*tracked]bool  // have a time at which they are to be looked at
	runners  []*runner
	open     bool // the first snapshot has been handed out
	dirty    bool
	rev      uint64
	group    sync.WaitGroup // of feeds that are no longer used, and of runners
}

// New makes a hub for c. It starts nothing.
func New(c Config, log *slog.Logger) *Hub {
	return &Hub{
		log: log, config: c, bell: newBell(), configs: make(chan Config), questions: make(chan question),
		services: map[string]*tracked{}, timed: map[*tracked]bool{},
	}
}

// Snapshot returns the newest snapshot that was handed to the outputs; before
// the first its Rev is 0. It may be called from any goroutine.
func (h *Hub) Snapshot() service.Snapshot {
	if s := h.latest.Load(); s != nil {
		return *s
	}
	return service.Snapshot{}
}

// Configure replaces the configuration: services with an equal source keep
// their watcher and backends, a changed source takes over when it has spoken,
// new outputs start when the old ones have ended. It returns when the hub has
// taken c, or with the cause of ctx.
func (h *Hub) Configure(ctx context.Context, c Config) error {
	select {
	case h.configs <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run follows all sources and keeps all outputs true until ctx ends; it
// returns when everything that it started has ended.
func (h *Hub) Run(ctx context.Context) error {
	h.ctx, h.began = ctx, time.Now()
	h.configure(h.config)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var pings <-chan time.Time
	if h.config.Statsd != nil {
		ticker := time.NewTicker(pingEvery)
		defer ticker.Stop()
		pings = ticker.C
	}
	for ctx.Err() == nil {
		if h.dirty {
			h.hand()
		}
		timer.Reset(h.untilDeadline())
		select {
		case <-ctx.Done():
		case <-h.bell.wake:
			h.hear()
		case <-timer.C:
			h.hear()
			h.lookAtTimes()
		case c := <-h.configs:
			h.configure(c)
		case q := <-h.questions:
			h.reply(q)
		case <-pings:
			h.ping()
		}
	}
	h.stop()
	return nil
}

// hear collects what the watchers have said, from those that have said anything.
func (h *Hub) hear() {
	for _, f := range h.bell.take() {
		if t := h.services[f.service]; t != nil && (t.feed == f || t.next == f) && t.hear() {
			h.note(t)
		}
	}
	h.gate()
}

// note takes note that a service looks different.
func (h *Hub) note(t *tracked) {
	h.fresh = append(h.fresh, t)
	h.dirty = true
}

// gate opens the way for snapshots as soon as every service is settled.
func (h *Hub) gate() {
	if h.open {
		return
	}
	for t := range h.timed {
		if !t.settled {
			return
		}
	}
	h.open, h.dirty = true, true
	h.config.Statsd.Timing("synapse.watchers.start.time", time.Since(h.began))
}

// lookAtTimes stops waiting for watchers whose time is up.
func (h *Hub) lookAtTimes() {
	now := time.Now()
	for t := range h.timed {
		if t.next != nil && t.hear() {
			h.note(t)
		}
		if !t.settled && !now.Before(t.deadline) {
			t.settle()
			h.note(t)
		}
	}
	h.gate()
}

// untilDeadline returns how long the hub may sleep if nobody speaks.
func (h *Hub) untilDeadline() time.Duration {
	next := time.Now().Add(time.Hour)
	for t := range h.timed {
		if t.settled && t.next == nil {
			delete(h.timed, t)
		}
		if !t.settled && t.deadline.Before(next) {
			next = t.deadline
		}
		if t.next != nil && t.handover.Before(next) {
			next = t.handover
		}
	}
	return time.Until(next)
}

// hand gives a snapshot of everything settled to the outputs.
func (h *Hub) hand() {
	if !h.open {
		return
	}
	h.dirty = false
	h.rev++
	if !h.arranged {
		h.shown, h.fresh, h.arranged = make([]*service.Service, len(h.order)), h.order, true
	}
	for _, t := range h.fresh {
		h.shown[t.place] = t.current
		if s := t.current; s != nil && s.Rev == 0 {
			s.Rev = h.rev // not shared yet: this is the first snapshot that shows it
		}
	}
	h.fresh = nil
	snapshot := service.Snapshot{Rev: h.rev, Services: slices.Clone(h.shown)}
	snapshot.Services = slices.DeleteFunc(snapshot.Services, func(s *service.Service) bool { return s == nil })
	h.config.Statsd.Count("synapse.config.update")
	h.latest.Store(&snapshot)
	for _, r := range h.runners {
		r.snapshots.Put(snapshot)
	}
}

// configure makes c the configuration in force.
func (h *Hub) configure(c Config) {
	h.config, h.order, h.arranged = c, h.order[:0:0], false
	named := make(map[string]bool, len(c.Services))
	for _, d := range c.Services {
		named[d.Name] = true
		if t := h.services[d.Name]; t != nil {
			h.redefine(t, d)
		} else {
			h.add(d)
		}
		t := h.services[d.Name]
		t.place, h.order = len(h.order), append(h.order, t)
	}
	for name, t := range h.services {
		if !named[name] {
			t.log.Info("no longer configured")
			h.retire(t.feed, t.next)
			delete(h.services, name)
			delete(h.timed, t)
		}
	}
	h.dirty = true
	h.configureOutputs(c.Outputs)
	h.gate()
}

func (h *Hub) add(d Definition) {
	log := h.log.With("service", d.Name)
	t := &tracked{
		def: d, log: log, deadline: time.Now().Add(h.config.StartDeadline),
		feed: h.startFeed(d, log),
	}
	h.services[d.Name], h.timed[t] = t, true
}

// redefine applies a new definition to a service that is already followed.
func (h *Hub) redefine(t *tracked, d Definition) {
	switch {
	case d.Source.Key == t.feed.source.Key:
		h.retire(t.next)
		t.next = nil
	case t.next == nil || t.next.source.Key != d.Source.Key:
		h.retire(t.next)
		t.next = h.startFeed(d, t.log)
		t.handover = time.Now().Add(handoverLimit)
		h.timed[t] = true
	}
	t.def = d
	switch {
	case t.spoken:
		t.show(d.Policy.decide(t.last.update, t.verdict), t.last.update, t.last.at)
	case t.settled:
		t.settle()
	}
}

// retire stops feeds, without waiting for them.
func (h *Hub) retire(feeds ...*feed) {
	for _, f := range feeds {
		if f != nil {
			f.stop()
			h.group.Go(func() { <-f.stopped })
		}
	}
}

// stop ends everything and waits for it.
func (h *Hub) stop() {
	for _, t := range h.services {
		h.retire(t.feed, t.next)
	}
	for _, r := range h.runners {
		h.group.Go(func() { <-r.stopped })
	}
	h.group.Wait()
}
