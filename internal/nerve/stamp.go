package nerve

import (
	"time"

	"smartstack/internal/service"
)

// stamp remembers when what is registered was decided, so that a registration
// that is merely made again says when it became true, not when it was written.
type stamp struct {
	of    service.Registration // as it was decided, without its time
	since time.Time
}

// on returns r with the time of its decision, if that is wanted.
func (s *stamp) on(r service.Registration, wanted bool, now time.Time) service.Registration {
	if !wanted {
		return r
	}
	if s.since.IsZero() || r != s.of {
		s.of, s.since = r, now
	}
	r.Backend.Decided = s.since.UnixMilli()
	return r
}
