package nerve

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// probe runs one check on its own timetable, so that no check waits for
// another. Calls of one check never overlap: the next is only planned when one
// has ended.
type probe struct {
	check    Check // without a Check inside it always succeeds
	run      func(context.Context) error
	interval time.Duration
	pace     pace
	unit     *unit // is made to think

	ctx   context.Context // ends with the checking
	timer *time.Timer     // begins a call
	late  *time.Timer     // ends the waiting for one that ignores its deadline
	phase atomic.Int32    // of the call
	over  chan struct{}   // closed after the last call

	newest atomic.Pointer[result]     // not heard yet
	fine   result                     // what success puts there, so that it costs no memory
	shown  atomic.Pointer[shownCheck] // for the status; nil before the first result
	ended  atomic.Int64               // when the last call did, on the process's clock
	took   atomic.Int64               // nanoseconds
}

// result is that of one call.
type result struct{ err error }

// The phases of a call.
const (
	waiting int32 = iota
	calling
	abandoned // ignores its deadline, and counts as failed
)

var errDeaf = errors.New("does not end at its timeout")

func newProbe(c Check, interval time.Duration, p pace, u *unit) *probe {
	pr := &probe{check: c, interval: interval, pace: p, unit: u, over: make(chan struct{})}
	if c.Check != nil {
		pr.run = c.Check.Check
	}
	pr.ended.Store(int64(time.Since(p.epoch)))
	return pr
}

// begin starts the timetable, which lasts until ctx ends.
func (p *probe) begin(ctx context.Context) {
	p.ctx = ctx
	p.late = time.AfterFunc(time.Hour, p.abandon)
	p.late.Stop()
	round := p.round
	p.timer = time.AfterFunc(time.Hour, func() { p.unit.seat.crew.do(round) })
	p.timer.Reset(time.Until(p.pace.first()))
}

// end waits until no call is under way, at most until limit is closed. ctx has
// ended.
func (p *probe) end(limit <-chan struct{}) {
	if p.timer.Stop() {
		return
	}
	select {
	case <-p.over:
	case <-limit:
	}
}

// round is one call, and plans the next.
func (p *probe) round() {
	if p.ctx.Err() == nil {
		p.once()
		now := time.Now()
		p.timer.Reset(p.pace.next(now).Sub(now))
		// At an end that came meanwhile, whoever stops the timer has the last
		// word: this round, or end, which did not see it.
		if p.ctx.Err() == nil || !p.timer.Stop() {
			return
		}
	}
	close(p.over)
}

func (p *probe) once() {
	began := time.Since(p.pace.epoch)
	var err error
	heard := true
	if p.check.Check != nil {
		p.phase.Store(calling)
		p.late.Reset(p.check.Timeout + grace)
		err = call(p.ctx, p.check.Timeout, p.run)
		p.late.Stop()
		heard = p.phase.Swap(waiting) == calling
	}
	if p.ctx.Err() != nil {
		return // a call that was cut short says nothing
	}
	ended := time.Since(p.pace.epoch)
	p.took.Store(int64(ended - began))
	p.ended.Store(int64(ended))
	if heard {
		p.tell(err)
	}
}

// abandon counts a call that ignores its deadline as failed, once in every
// round that it blocks.
func (p *probe) abandon() {
	if p.ctx.Err() != nil || !p.phase.CompareAndSwap(calling, abandoned) && p.phase.Load() != abandoned {
		return
	}
	p.tell(errDeaf)
	p.late.Reset(p.interval)
	if p.phase.Load() != abandoned {
		p.late.Stop()
	}
}

func (p *probe) tell(err error) {
	r := &p.fine
	if err != nil {
		r = &result{err}
	}
	p.newest.Store(r)
	if p.check.Check != nil {
		p.unit.checked(p.check.Name, err)
	}
	p.unit.think()
}

// stuck tells whether the last call ended longer ago than it may have.
func (p *probe) stuck() bool {
	quiet := time.Since(p.pace.epoch) - time.Duration(p.ended.Load())
	return quiet > p.interval+p.check.Timeout+soon+10*grace
}
