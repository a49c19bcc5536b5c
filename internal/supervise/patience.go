package supervise

import "time"

// Patience measures how long there has been a fault, for a Run that says so
// when it has lasted. It belongs to one goroutine. Make it with NewPatience.
//
//	late := supervise.NewPatience(limit)
//	defer late.Stop()
//	for {
//		select {
//		case <-late.Over():
//			if fault != nil {
//				return fault
//			}
//			late.Observe(false)
//		case <-news:
//			late.Observe(fault != nil)
//		}
//	}
type Patience struct {
	limit   time.Duration
	timer   *time.Timer
	waiting bool // timer is running
}

// NewPatience begins to measure: what was never observed counts as a fault.
func NewPatience(limit time.Duration) *Patience {
	return &Patience{limit: limit, timer: time.NewTimer(limit), waiting: true}
}

// Over receives when a fault has lasted for the limit.
func (p *Patience) Over() <-chan time.Time { return p.timer.C }

// Observe takes note of whether there is a fault now.
func (p *Patience) Observe(fault bool) {
	switch {
	case fault && !p.waiting:
		p.timer.Reset(p.limit)
	case !fault && p.waiting:
		p.timer.Stop()
	}
	p.waiting = fault
}

// Stop ends the measuring.
func (p *Patience) Stop() { p.timer.Stop() }
