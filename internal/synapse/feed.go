package synapse

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
	"smartstack/internal/telemetry"
)

// Source is where a service's backends come from. Two sources with the same
// Key are the same: over a change of configuration the running one is kept.
type Source struct {
	Key     string
	Watcher service.Watcher
}

// said is one word of a watcher, with the run that said it: after a restart of
// the watcher only words of the new run tell that it has read everything anew.
type said struct {
	update service.Update
	run    uint64
	at     time.Time
}

// health is how a source is doing: err is nil once it has spoken again.
type health struct {
	err error
	at  time.Time
}

// feed is one running watcher. The Hub owns it; the watcher's goroutine writes
// into the slots only.
type feed struct {
	source  Source
	service string
	statsd  *telemetry.Statsd
	updates *mailbox.Latest[said]
	health  *mailbox.Latest[health]
	bell    *bell
	ringing atomic.Bool // it is in the bell's list
	before  *feed       // there; the bell's
	actor   *supervise.Actor
	runs    atomic.Uint64
	spoke   atomic.Bool // something was said
	stopped chan struct{}
}

// startFeed runs the watcher of d's source until stop is called or the Hub ends.
func (h *Hub) startFeed(d Definition, log *slog.Logger) *feed {
	f := &feed{
		source: d.Source, service: d.Name, statsd: h.config.Statsd,
		updates: mailbox.New[said](nil), health: mailbox.New[health](nil), bell: h.bell, stopped: make(chan struct{}),
	}
	f.actor = supervise.New(f.run, func(err error, retry time.Duration) {
		log.Warn("the source cannot be followed: its backends stay as they are", "err", err, "retry", retry.Round(time.Millisecond))
		f.tellStart(err)
		f.health.Put(health{err: err, at: time.Now()})
		f.bell.ring(f)
	})
	go f.follow(h.ctx)
	return f
}

// follow lasts as long as the feed. It and what it calls until the watcher
// waits have small frames: thousands of goroutines stand there.
func (f *feed) follow(ctx context.Context) {
	defer close(f.stopped)
	f.actor.Supervise(ctx)
	f.tellEnd()
}

func (f *feed) run(ctx context.Context) error {
	run := f.runs.Add(1)
	return f.source.Watcher.Run(ctx, func(u service.Update) {
		now := time.Now()
		f.tellStart(nil)
		f.updates.Put(said{update: u, run: run, at: now})
		f.health.Put(health{at: now})
		f.bell.ring(f)
	})
}

// reread makes the watcher read everything again, and returns the number that
// the run which does so will have at least.
func (f *feed) reread() uint64 {
	next := f.runs.Load() + 1
	f.actor.Restart()
	return next
}

// stop asks the watcher to end and does not wait for it.
func (f *feed) stop() { f.actor.Stop() }
