package nerve

import (
	"math/rand/v2"
	"time"
)

// slot is the grid on which rounds begin. Rounds of many services then share a
// wake-up of the process, which saves a third of its CPU with a thousand
// services, and one slot still holds only a few dozen of them.
const slot = 20 * time.Millisecond

// soon bounds the wait for a service's first round.
const soon = time.Second

// pace is the timetable of one service: a random phase, so that services do
// not all fire together, and then one round per interval without drift. A
// round that takes longer than the interval skips what it missed.
type pace struct {
	epoch    time.Time // of the whole process: what the grid is aligned to
	interval time.Duration
	phase    time.Duration // of the first round, after epoch
}

func newPace(epoch, now time.Time, interval time.Duration) pace {
	return pace{epoch: epoch, interval: interval, phase: now.Sub(epoch) + rand.N(min(interval, soon))}
}

// first returns when the first round begins.
func (p pace) first() time.Time { return p.align(0) }

// next returns when the first round after now begins.
func (p pace) next(now time.Time) time.Time {
	n := (now.Sub(p.epoch) - p.phase) / p.interval
	at := p.align(n)
	for !at.After(now) {
		n++
		at = p.align(n)
	}
	return at
}

// align returns the n-th round's beginning, moved up to the grid.
func (p pace) align(n time.Duration) time.Time {
	at, grid := p.phase+n*p.interval, max(1, min(slot, p.interval/10))
	return p.epoch.Add((at + grid - 1) / grid * grid)
}
