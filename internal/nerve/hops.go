package nerve

import (
	"time"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// Hops measure the way of a change through nerve. A nil one measures nothing.
type Hops struct {
	// Judged is from the first of the results in a row that speak against the
	// decision in force to the next decision: what rise, fall and holding back take.
	Judged *telemetry.Histogram
	// Registered is from a decision to its being in a registry, once for each. What
	// a service registers first is not counted: it waits for the start as a whole.
	Registered *telemetry.Histogram
}

func newHops() Hops {
	bounds := []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	return Hops{Judged: telemetry.NewHistogram(bounds...), Registered: telemetry.NewHistogram(bounds...)}
}

// wish is what is wanted of the registries.
type wish struct {
	service.Registration
	at time.Time // of the decision
}

// doubt takes note of when the results began to speak against the decision.
func (j *judge) doubt(now time.Time) {
	if j.against() == j.doubted.IsZero() {
		j.doubted = time.Time{}
		if j.against() {
			j.doubted = now
		}
	}
}

// against reports whether something that was heard is not what was decided.
func (j *judge) against() bool {
	if !j.known {
		return false
	}
	for i := range j.heard {
		if h := &j.heard[i].health; h.up.against > 0 || h.well.against > 0 {
			return true
		}
	}
	return j.raw != j.level
}

// judged measures how long a change of the decision took.
func (j *judge) judged(now time.Time) {
	took := time.Duration(0) // the first result against it is what changed it
	if !j.doubted.IsZero() {
		took = now.Sub(j.doubted)
	}
	j.seat.hops.Judged.Observe(took)
}
