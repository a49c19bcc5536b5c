package nerve

import (
	"math"
	"time"
)

// Damping keeps a service that flaps unregistered until it has calmed down.
// Every time that its checks see it get worse counts one, and what is counted
// halves with each Calm that passes. From Drops on, the service is not believed
// when it gets better; below half of Drops it is again. It never delays a
// withdrawal. The zero value dampens nothing.
type Damping struct {
	Drops int
	Calm  time.Duration
}

// flaps is what one service has done.
type flaps struct {
	damping Damping
	total   int     // since nerve began, or the service came
	fresh   float64 // what counts of them, at the time in at
	at      time.Time
	damped  bool
}

// drop counts one. More than twice Drops are not counted, so that calm never
// has to last longer than twice Calm.
func (f *flaps) drop(now time.Time) {
	f.total++
	f.fresh = min(f.count(now)+1, 2*float64(max(1, f.damping.Drops)))
	f.at = now
}

// count returns what still counts.
func (f *flaps) count(now time.Time) float64 {
	if f.fresh == 0 || f.damping.Calm <= 0 {
		return 0
	}
	return f.fresh * math.Exp2(-now.Sub(f.at).Seconds()/f.damping.Calm.Seconds())
}

// hold tells whether an improvement is not believed yet.
func (f *flaps) hold(now time.Time) bool {
	if f.damping.Drops <= 0 {
		return false
	}
	n, drops := f.count(now), float64(f.damping.Drops)
	f.damped = n >= drops || f.damped && n > drops/2
	return f.damped
}

// until returns when the service is believed again if it does not flap
// meanwhile.
func (f *flaps) until() time.Time {
	halvings := math.Log2(f.fresh / (float64(f.damping.Drops) / 2))
	return f.at.Add(time.Duration(halvings * float64(f.damping.Calm)))
}
