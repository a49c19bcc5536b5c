package marathonconn

import "time"

// When things are done.
const (
	quiet    = 250 * time.Millisecond // least time between two reads of an app because of events
	settle   = time.Second            // after an app's last event it is read once more: events may overtake the state
	spread   = 2 * time.Second        // over which a host reads its apps after the stream was lost
	steady   = 15 * time.Second       // a stream that lived so long was a good one
	noStream = 5 * time.Minute        // before asking again a server that has no event stream
)

// jittered returns d ±20 %, so that a fleet does not stay in step.
func jittered(d time.Duration, roll float64) time.Duration {
	return time.Duration((0.8 + 0.4*roll) * float64(d))
}

// Pace is how often a subscription wants its app to be read.
type Pace struct {
	Poll   bool          // read each Check, without events
	Check  time.Duration // between reads while there is no event stream
	Resync time.Duration // between reads while there is one; 0 = a minute
	Silent time.Duration // after which a silent event stream is given up; 0 = 25 s
}

// The defaults of Pace. Marathon sends a heartbeat each 10 s.
const (
	defaultCheck  = 10 * time.Second
	defaultResync = time.Minute
	defaultSilent = 25 * time.Second
)

func (p Pace) withDefaults() Pace {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&p.Check, defaultCheck}, {&p.Resync, defaultResync}, {&p.Silent, defaultSilent}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	return p
}

// interval returns the time between two reads when nothing happens.
func (p Pace) interval(live bool) time.Duration {
	if p.Poll || !live {
		return p.Check
	}
	return p.Resync
}
