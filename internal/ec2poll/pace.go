package ec2poll

import (
	"math/rand/v2"
	"time"
)

// When the next poll may begin, all measured from the end of the last one.
const (
	firstRetry   = time.Second     // after a failure; doubled up to the interval
	longestPause = 5 * time.Minute // after EC2 said that it was asked too often, unless twice the interval is longer
	confirmPause = time.Second     // before a poll that somebody needs out of turn
	reconnect    = 3               // each third failure in a row, credentials are looked for again
)

// pace is how a poller is doing. The zero value is a fresh start: poll at once.
type pace struct {
	failures  int       // in a row
	throttled bool      // the last one was for asking too often
	ended     time.Time // the last poll; zero = there was none
	roll      float64   // in [0, 1), drawn for each poll
}

// after returns the pace after a poll that ended now.
func (p pace) after(err error, now time.Time) pace {
	next := pace{ended: now, roll: rand.Float64()}
	if err != nil {
		next.failures = p.failures + 1
		next.throttled = throttled(err)
	}
	return next
}

// due returns when the next poll begins. wanted says that somebody waits for
// one out of turn, which never shortens the pause after a failure.
func (p pace) due(interval time.Duration, wanted bool) time.Time {
	switch {
	case p.ended.IsZero():
		return p.ended
	case p.failures > 0:
		return p.ended.Add(p.backoff(interval))
	case wanted:
		return p.ended.Add(min(confirmPause, p.usual(interval)))
	default:
		return p.ended.Add(p.usual(interval))
	}
}

// backoff returns the pause after failures. A failure is tried again soon, and
// then at the usual times. After a refusal for asking too often the host asks
// less than before. Half of each pause is drawn, so that a fleet spreads out.
func (p pace) backoff(interval time.Duration) time.Duration {
	pause, longest := firstRetry, interval
	if p.throttled {
		pause, longest = 2*interval, max(longestPause, 2*interval)
	}
	for range p.failures - 1 {
		if pause >= longest {
			break
		}
		pause *= 2
	}
	if pause >= interval && !p.throttled {
		return p.usual(interval)
	}
	return time.Duration((0.5 + 0.5*p.roll) * float64(min(pause, longest)))
}

// usual returns the interval ±10 %, so that a fleet does not stay in step.
func (p pace) usual(interval time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*p.roll) * float64(interval))
}
