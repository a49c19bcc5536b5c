package nerve

import (
	"math"
	"time"

	"smartstack/internal/service"
)

// steps is in how many steps a weight climbs: each is a write to the registry
// and a change at every consumer.
const steps = 10

// ramp returns which part of its weight a service gets that has been registered
// for so long: 1, 4, 9, 16 … 100 percent, for what is cold needs the most time
// at the beginning.
func ramp(registered, warmUp time.Duration) float64 {
	if warmUp <= 0 || registered >= warmUp {
		return 1
	}
	step := float64(max(0, registered)*steps/warmUp + 1)
	return step * step / (steps * steps)
}

// weigh scales a weight. What serves has at least 1, for 0 means no traffic; a
// weight of 0 or none stays what it is.
func weigh(weight service.Int, level int, part float64) service.Int {
	if !weight.Known || weight.Value == 0 || level == whole && part >= 1 {
		return weight
	}
	scaled := math.Round(float64(weight.Value) * float64(level) / whole * part)
	return service.KnownInt(max(1, int64(scaled)))
}
