package watchers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
	"smartstack/internal/telemetry"
)

// multi runs several sources and says what its resolver makes of them. What
// each said last outlives a Run, so that a source that is away during the next
// one takes nothing away.
type multi struct {
	log      *slog.Logger
	statsd   *telemetry.Statsd // of the original's metrics; nil = none
	sources  []*source
	resolver resolver
	follow   func(*pickSlot) (release func()) // for s3_toggle, else nil
	pulse    service.Pulse                    // by source
}

// Condition tells how fresh the words of the sources are.
func (m *multi) Condition() service.Condition {
	c := m.pulse.Condition()
	for _, s := range m.sources {
		if w, ok := s.watcher.(service.Feeling); ok {
			c.Add(s.name, w.Condition())
		}
	}
	return c
}

// source is one watcher among several. Its child belongs to the goroutine of
// multi.Run.
type source struct {
	child
	heard   int // words in this run
	watcher service.Watcher
	pass    []service.LabelFilter
}

// word is everything that a source has to say about itself: the newest holds
// all that the one before it did.
type word struct {
	update service.Update
	spoken int   // how often, in this run
	err    error // it has failed since
}

// pickSlot holds the name of the source that a toggle has picked.
type pickSlot = mailbox.Latest[string]

func (m *multi) names() []string {
	var names []string
	for _, s := range m.sources {
		names = append(names, s.name)
	}
	return names
}

// Run runs the sources, each under a supervisor of its own, until ctx ends. It
// returns an error when none of them works, so that it is known that the last
// word may be out of date.
func (m *multi) Run(ctx context.Context, publish func(service.Update)) error {
	m.statsd.Count("synapse.watcher.multi.start")
	defer m.statsd.Count("synapse.watcher.multi.stop")
	ctx, cancel := context.WithCancel(ctx)
	var actors sync.WaitGroup
	defer actors.Wait()
	defer cancel()
	wake := mailbox.NewWake()
	slots := make([]*mailbox.Latest[word], len(m.sources))
	for i, s := range m.sources {
		s.heard, s.decided, s.err = 0, false, nil
		slots[i] = mailbox.New[word](wake)
		actor := s.actor(slots[i], m.log)
		actors.Go(func() { actor.Supervise(ctx) })
	}
	picks := mailbox.New[string](wake)
	if m.follow != nil {
		defer m.follow(picks)()
	}
	r := &multiRun{multi: m, publish: publish}
	for {
		spoke := r.learn(slots, picks)
		if err := r.allFailed(); err != nil {
			return err
		}
		r.say(spoke)
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		}
	}
}

// actor supervises the source's watcher, whose news go to slot.
func (s *source) actor(slot *mailbox.Latest[word], log *slog.Logger) *supervise.Actor {
	var now word // belongs to the actor's goroutine
	run := func(ctx context.Context) error {
		return s.watcher.Run(ctx, func(u service.Update) {
			u = s.filter(u)
			now = word{update: u, spoken: now.spoken + 1}
			slot.Put(now)
		})
	}
	return supervise.New(run, func(err error, retry time.Duration) {
		log.Warn("one of several sources cannot be followed: its backends stay as they are", "watcher", s.name,
			"err", err, "retry", retry.Round(time.Millisecond))
		now.err = err
		slot.Put(now)
	})
}

// filter leaves out what does not pass the source's own filters.
func (s *source) filter(u service.Update) service.Update {
	var out service.Set
	if u.Backends, out = u.Backends.Split(s.pass); out.Len() > 0 {
		u.Aside = append(slices.Clip(u.Aside), service.Aside{Backends: out, Filters: s.pass})
	}
	return u
}

// multiRun is one Run.
type multiRun struct {
	*multi
	publish func(service.Update)
	said    bool
	from    string
	noticed time.Time // what the newest words say of it
}

// learn takes in what is new, and reports whether a source has spoken.
func (r *multiRun) learn(slots []*mailbox.Latest[word], picks *pickSlot) (spoke bool) {
	r.noticed = time.Time{}
	for i, slot := range slots {
		w, ok := slot.Take()
		if !ok {
			continue
		}
		s := r.sources[i]
		s.decided, s.err = true, w.err
		r.pulse.Tell(s.name, w.err)
		if w.spoken > s.heard {
			s.heard, s.spoken, s.update = w.spoken, true, w.update
			spoke = true
			r.noticed = service.FirstNoticed(r.noticed, w.update.Noticed)
		}
	}
	if name, ok := picks.Take(); ok {
		r.toggle(name)
	}
	return spoke
}

// toggle takes in a pick. The file may serve other services too, so it may name
// sources that this one does not have.
func (r *multiRun) toggle(name string) {
	t, ok := r.resolver.(*toggle)
	if !ok {
		return
	}
	if !slices.Contains(r.names(), name) {
		r.log.Warn("the picked source is none of this service's; the one before stays", "watcher", name)
		r.statsd.Count(toggleSwitch, "result:fail", "reason:unknown_watcher")
		return
	}
	t.wanted = name
}

// allFailed returns the reasons if no source works.
func (r *multiRun) allFailed() error {
	var errs []error
	for _, s := range r.sources {
		if s.err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.name, s.err))
	}
	return errors.Join(errs...)
}

// say publishes what the resolver makes of it all, if that can have changed.
func (r *multiRun) say(spoke bool) {
	children := make([]child, len(r.sources))
	for i, s := range r.sources {
		children[i] = s.child
	}
	u, from, ok := r.resolver.resolve(children)
	if !ok || r.said && !spoke && from == r.from {
		return
	}
	if r.said && from != r.from {
		r.log.Warn("another source is followed now", "watcher", from, "reason", "picked instead of "+r.from)
	}
	if _, ok := r.resolver.(*sequential); ok && from != r.from {
		r.statsd.Count("synapse.watcher.multi.resolver.sequential.switch", "result:success", "watcher:"+from)
	}
	r.said, r.from, u.Noticed = true, from, r.noticed
	r.publish(u)
}
