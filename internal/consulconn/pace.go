package consulconn

import "time"

// Pace tells how often something is read.
type Pace struct {
	Wait time.Duration // how long Consul may hold a query back when nothing changes; 0 = a minute
}

// When things are done.
const (
	defaultWait = time.Minute
	longestWait = 10 * time.Minute // Consul's own limit
	turn        = 10 * time.Second // the wait while queries take turns
	quiet       = 100 * time.Millisecond
	hastyMoved  = 2 * time.Second  // longest pause after answers that bring nothing new but an index
	hastySame   = 10 * time.Second // the same, without a new index
)

func (p Pace) withDefaults() Pace {
	if p.Wait <= 0 {
		p.Wait = defaultWait
	}
	p.Wait = min(p.Wait, longestWait)
	return p
}
