package nerve

import "sync/atomic"

// idleWorkers is how many goroutines a crew keeps between two slots: about as
// many as the calls that a thousand services have under way at once.
const idleWorkers = 64

// crew runs calls that need deep stacks, each on a goroutine of its own for as
// long as it takes. Goroutines are kept for the next call, since a new one has
// to grow its stack again, step by step; a goroutine for each check would hold
// a thousand deep stacks. All methods may be called from any goroutine.
type crew struct {
	jobs chan func()
	idle atomic.Int32
	over chan struct{} // closed when nobody is kept any more
}

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// do runs job and does not wait for it.
func (c *crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		go c.work(job)
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		if c.idle.Add(1) > idleWorkers {
			c.idle.Add(-1)
			return
		}
		select {
		case job = <-c.jobs:
			c.idle.Add(-1)
		case <-c.over:
			return
		}
	}
}

// dismiss lets the idle go, and the others when they have done their job.
func (c *crew) dismiss() { close(c.over) }
