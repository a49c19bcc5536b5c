package nerve

import "smartstack/internal/service"

// The levels of health: how much of its weight a service is good for, in
// percent. What is between them is degraded.
const (
	dead  = 0
	whole = 100
)

// health turns the results of one check into a level. The first result counts
// as the whole history: it decides at once, whatever rise and fall say. Later,
// fall failures in a row mean down and rise successes in a row mean up. The
// same counts stand between whole and degraded, where a failure is not whole
// either; how degraded is told by the newest result that was.
type health struct {
	up, well streak
	percent  int
}

func newHealth(c Check) health {
	return health{up: streak{rise: c.Rise, fall: c.Fall}, well: streak{rise: c.Rise, fall: c.Fall}}
}

// see takes the next result and returns the level.
func (h *health) see(err error) int {
	d, degraded := service.AsDegraded(err)
	if degraded {
		h.percent = min(max(d.Weight, dead+1), whole-1)
	}
	up, well := h.up.see(err == nil || degraded), h.well.see(err == nil)
	switch {
	case !up:
		return dead
	case !well:
		return h.percent
	default:
		return whole
	}
}

// streak is a state that changes only after enough results in a row against it.
type streak struct {
	rise, fall int
	known, on  bool
	against    int // results in a row that contradict on
}

func (s *streak) see(ok bool) bool {
	switch {
	case !s.known:
		s.known, s.on = true, ok
	case ok == s.on:
		s.against = 0
	default:
		s.against++
		if s.on && s.against >= s.fall || !s.on && s.against >= s.rise {
			s.on, s.against = ok, 0
		}
	}
	return s.on
}
