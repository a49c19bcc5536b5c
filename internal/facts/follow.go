package facts

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"smartstack/internal/mailbox"
)

// How often everything is looked at again, and again after a fault.
const (
	lookEvery  = 10 * time.Second
	firstRetry = time.Second
)

// Follower keeps finding out. All of it belongs to the goroutine of Run.
type Follower struct {
	finder *Finder
	log    *slog.Logger
	every  time.Duration
	retry  time.Duration

	known  Set
	wants  []Want
	faults map[Want]error // as they were last told
}

// NewFollower makes a follower.
func NewFollower(f *Finder, log *slog.Logger) *Follower {
	return &Follower{finder: f, log: log, every: lookEvery, retry: firstRetry, faults: map[Want]error{}}
}

// Order is what to follow from now on, and what is known of it already.
type Order struct {
	Wants []Want
	Known Set
}

// Run finds out what the newest order wants, again and again until ctx ends, and
// publishes whatever has become known or different.
func (f *Follower) Run(ctx context.Context, orders *mailbox.Latest[Order], wake <-chan struct{}, publish func(Set)) {
	timer := time.NewTimer(f.every)
	defer timer.Stop()
	delay := f.retry
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			if o, ok := orders.Take(); ok {
				f.wants, f.known = o.Wants, o.Known
				delay = f.retry
				if f.known.Lacks(f.wants) {
					timer.Reset(jitter(delay))
				}
			}
		case <-timer.C:
			if len(f.wants) > 0 {
				f.round(ctx, publish)
			}
			if ctx.Err() != nil {
				return
			}
			if !f.known.Lacks(f.wants) {
				delay = f.retry
				timer.Reset(jitter(f.every))
				continue
			}
			timer.Reset(jitter(delay)) // somebody waits for it
			delay = min(2*delay, f.every)
		}
	}
}

func (f *Follower) round(ctx context.Context, publish func(Set)) {
	next, faults := f.finder.Find(ctx, f.wants, f.known)
	if ctx.Err() != nil {
		return
	}
	f.tell(next, faults)
	if !next.Equal(f.known) {
		f.known = next
		publish(next)
	}
}

// tell logs when a fault begins and when it ends.
func (f *Follower) tell(next Set, faults map[Want]error) {
	for w, err := range faults {
		if f.faults[w] != nil {
			continue
		}
		if _, known := next.Get(w); known {
			f.log.Warn("a fact about this host cannot be found out any more; what was known counts on", "err", err)
		} else {
			f.log.Error("a fact about this host cannot be found out; what needs it waits", "err", err)
		}
	}
	for w := range f.faults {
		if faults[w] == nil {
			f.log.Info("a fact about this host can be found out again: " + w.String())
		}
	}
	f.faults = faults
}

func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }
