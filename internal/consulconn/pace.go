package consulconn

import (
	"math/rand/v2"
	"time"
)

// Pace tells how often something is read.
type Pace struct {
	Wait time.Duration // how long Consul may hold a query back when nothing changes; 0 = a minute
}

// When things are done.
const (
	defaultWait  = time.Minute
	longestWait  = 10 * time.Minute // Consul's own limit
	turn         = 10 * time.Second // the wait while queries take turns
	quiet        = 100 * time.Millisecond
	hastyMoved   = 2 * time.Second  // longest pause after answers that bring nothing new but an index
	hastySame    = 10 * time.Second // the same, without a new index
	firstRetry   = time.Second      // after a failure; doubled
	longestRetry = 30 * time.Second
	longestDeny  = time.Minute // the same while Consul refuses us
)

func (p Pace) withDefaults() Pace {
	if p.Wait <= 0 {
		p.Wait = defaultWait
	}
	p.Wait = min(p.Wait, longestWait)
	return p
}

// backoff returns the pause after so many failures in a row, half of it drawn
// so that a fleet spreads out. roll is in [0, 1).
func backoff(failures int, refused bool, roll float64) time.Duration {
	longest := longestRetry
	if refused {
		longest = longestDeny
	}
	return time.Duration((0.5 + 0.5*roll) * float64(doubled(firstRetry, failures-1, longest)))
}

// doubled returns d after so many doublings, at most longest.
func doubled(d time.Duration, times int, longest time.Duration) time.Duration {
	for range times {
		if d >= longest {
			break
		}
		d *= 2
	}
	return min(d, longest)
}

func roll() float64 { return rand.Float64() }
