package service

import (
	"slices"
	"sync"
	"time"
)

// Fault is a part of a source that gives no good answer at present. What it
// said last stays.
type Fault struct {
	Part  string // such as one of several servers; empty = the whole source
	Since time.Time
	Err   error
}

// Condition is how fresh a source's word is.
type Condition struct {
	Good   time.Time // of the newest good answer, though it brought no news; zero = not known
	Faults []Fault   // the oldest first
}

// Feeling is a Watcher that knows the condition of its source at every moment,
// also between its words. Condition may be called from any goroutine, and
// returns at once.
type Feeling interface {
	Condition() Condition
}

// Pulse keeps the condition of a source. It may be used from any goroutine;
// the zero value is ready for use.
type Pulse struct {
	mu        sync.Mutex
	good      time.Time
	faults    []Fault
	confirmed func() time.Time // nil = nobody else knows of good answers
}

// Tell takes note of how the newest answer of a part was: nil is a good one.
func (p *Pulse) Tell(part string, err error) { p.TellAt(part, err, time.Now()) }

// TellAt is Tell about a moment that may have passed.
func (p *Pulse) TellAt(part string, err error, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.faults, func(f Fault) bool { return f.Part == part })
	switch {
	case err == nil && i >= 0:
		p.faults = slices.Delete(p.faults, i, i+1)
	case err != nil && i >= 0:
		p.faults[i].Err = err
	case err != nil:
		p.faults = append(p.faults, Fault{Part: part, Since: at, Err: err})
	}
	if err == nil {
		p.good = latest(p.good, at)
	}
}

// Keep forgets the faults of the other parts, which are asked no more.
func (p *Pulse) Keep(asked func(part string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(f Fault) bool { return !asked(f.Part) })
}

// Confirmed lets f, from now on, tell of good answers that bring no news.
func (p *Pulse) Confirmed(f func() time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.confirmed != nil {
		p.good = latest(p.good, p.confirmed())
	}
	p.confirmed = f
}

// Condition returns what is known now.
func (p *Pulse) Condition() Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Condition{Good: p.good, Faults: slices.Clone(p.faults)}
	if p.confirmed != nil {
		c.Good = latest(c.Good, p.confirmed())
	}
	return c
}

// Add takes in the condition of another source that the same word follows from,
// whose parts get its name in front.
func (c *Condition) Add(name string, of Condition) {
	for _, f := range of.Faults {
		part := name
		if f.Part != "" {
			part += ": " + f.Part
		}
		i := slices.IndexFunc(c.Faults, func(f Fault) bool { return f.Part == part })
		if i < 0 {
			c.Faults = append(c.Faults, Fault{part, f.Since, f.Err})
		} else if f.Since.Before(c.Faults[i].Since) {
			c.Faults[i].Since = f.Since
		}
	}
	slices.SortStableFunc(c.Faults, func(a, b Fault) int { return a.Since.Compare(b.Since) })
	c.Good = latest(c.Good, of.Good)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
