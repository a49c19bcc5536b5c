package nerve

// health turns the results of one check into a state. The first result counts
// as the whole history: it decides at once, whatever rise and fall say. Later,
// fall failures in a row mean down and rise successes in a row mean up.
type health struct {
	rise, fall int
	known, up  bool
	against    int // results in a row that contradict up
}

// see takes the next result and returns the state.
func (h *health) see(ok bool) bool {
	switch {
	case !h.known:
		h.known, h.up = true, ok
	case ok == h.up:
		h.against = 0
	default:
		h.against++
		if need := h.fall; h.against >= need && h.up || h.against >= h.rise && !h.up {
			h.up, h.against = ok, 0
		}
	}
	return h.up
}
