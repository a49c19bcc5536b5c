package nerve

import (
	"sync/atomic"
	"time"

	"smartstack/internal/telemetry"
)

// gate bounds how many services of this host checks may take out of the
// registries at once, so that a fault of the host or its network does not
// withdraw everything. It is shared by all loops, hence atomic.
type gate struct {
	limit atomic.Int64 // 0 = none
	out   atomic.Int64
}

// take asks to be one of those that are out.
func (g *gate) take() bool {
	for {
		out, limit := g.out.Load(), g.limit.Load()
		if limit > 0 && out >= limit {
			return false
		}
		if g.out.CompareAndSwap(out, out+1) {
			return true
		}
	}
}

// seat is what belongs to a service's name rather than to the loop that serves
// it at the moment: it outlives reloads.
type seat struct {
	gate     *gate
	queue    *queue
	crew     *crew
	statsd   *telemetry.Statsd
	version  string
	hops     Hops
	out      atomic.Bool              // counts at the gate
	order    atomic.Pointer[Order]    // the runner's; nil = none
	unit     atomic.Pointer[unit]     // that reports, or withdraws once the next has
	standing atomic.Pointer[standing] // nil = never registered
	past     atomic.Pointer[past]     // nil = nothing was ever decided
}

// past is what a service has done that still counts: a reload of its options, or
// of a label, must not make one that flaps look calm. A stored one is immutable.
type past struct {
	flaps  flaps
	bucket bucket
}

// under returns the past with the options of s, which fresh has.
func (p past) under(s *Service, fresh past) past {
	p.flaps.damping = s.Damping
	if !p.bucket.limit.On {
		p.bucket = fresh.bucket
	}
	p.bucket.limit = s.Limit
	if s.Limit.On {
		p.bucket.tokens = min(p.bucket.tokens, s.Limit.Burst)
	}
	return p
}

// ordered returns the operator's order that is in force.
func (s *seat) ordered(now time.Time) Order {
	if o := s.order.Load(); o != nil {
		return o.at(now)
	}
	return Order{}
}

// leave asks to take the service out because of a check.
func (s *seat) leave() bool {
	if s.out.Load() {
		return true
	}
	if !s.gate.take() {
		return false
	}
	if !s.out.CompareAndSwap(false, true) {
		s.gate.out.Add(-1) // the other loop of a take-over was faster
	}
	return true
}

// back gives the place at the gate back.
func (s *seat) back() {
	if s.out.CompareAndSwap(true, false) {
		s.gate.out.Add(-1)
	}
}

// standing is how a service was last registered, or not, by the loop that
// reports it. It is immutable.
type standing struct {
	up     bool
	level  int
	warmed time.Time // since when it has been registered
}

// level is that of the registration that a new loop takes over; dead when there
// is none.
func (s *seat) level() int {
	if was := s.standing.Load(); was != nil && was.up {
		return was.level
	}
	return dead
}
