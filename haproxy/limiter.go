package haproxy

import (
	"math/rand/v2"
	"time"
)

// The delays after reloads that failed, or that did not change what HAProxy
// runs: doubling from the first, or from restart_interval if that is longer.
const (
	firstReloadDelay   = time.Second
	longestReloadDelay = time.Minute
)

// limiter spaces reloads: restart_interval with restart_jitter after one that
// worked, a growing delay after one that failed, and never less than the
// interval. It is a value of the output's goroutine and looks at no clock.
type limiter struct {
	interval time.Duration
	jitter   float64 // part of interval that is added at random
	next     time.Time
	failures int // in a row
}

// wait returns how long a reload has to wait; 0 = it may go now.
func (l *limiter) wait(now time.Time) time.Duration {
	return max(0, l.next.Sub(now))
}

// done takes note of a reload that ended at now.
func (l *limiter) done(now time.Time, ok bool) {
	pause := l.interval
	if spread := time.Duration(float64(l.interval) * l.jitter); spread > 0 {
		pause += rand.N(spread + 1)
	}
	if ok {
		l.failures = 0
	} else {
		l.failures++
		pause = max(pause, backoff(max(l.interval, firstReloadDelay), max(l.interval, longestReloadDelay), l.failures))
	}
	l.next = now.Add(pause)
}

// backoff doubles first with each failure after the first, up to longest.
func backoff(first, longest time.Duration, failures int) time.Duration {
	delay := first
	for range failures - 1 {
		if delay *= 2; delay >= longest {
			return longest
		}
	}
	return min(delay, longest)
}
