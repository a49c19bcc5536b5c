package nerve

import (
	"sync/atomic"
	"time"

	"smartstack/internal/service"
)

// queue spreads registrations over time, so that a host with a thousand
// services does not make them all at once when it has lost its session. It is
// shared by all desks, hence atomic.
type queue struct {
	epoch time.Time
	gap   atomic.Int64 // nanoseconds between two registrations; 0 = none
	next  atomic.Int64 // when the next may be made, since epoch
}

// setRate allows so many registrations in a second; 0 = any number.
func (q *queue) setRate(perSecond float64) {
	gap := int64(0)
	if perSecond > 0 {
		gap = max(1, int64(float64(time.Second)/perSecond))
	}
	q.gap.Store(gap)
}

// wait returns after how long the caller may register.
func (q *queue) wait() time.Duration {
	gap := q.gap.Load()
	if gap == 0 {
		return 0
	}
	for {
		now, next := int64(time.Since(q.epoch)), q.next.Load()
		at := max(now, next)
		if q.next.CompareAndSwap(next, at+gap) {
			return time.Duration(at - now)
		}
	}
}

// stander is a reporter that can tell what is registered without asking its
// registry.
type stander interface {
	// Stands tells whether Report would have nothing to do.
	Stands(r service.Registration) bool
	// Holds tells whether a registration of ours is there, whatever it says.
	Holds() bool
}

// settler is one that can also tell, at no cost, that Report would have nothing
// to do and would succeed: then it is not called.
type settler interface {
	Settled(r service.Registration) bool
}
