package nerve

import (
	"testing"
	"time"

	"smartstack/internal/service"
)

// The time is that of the decision, for as long as nothing else is decided.
func TestStampIsTheTimeOfTheDecision(t *testing.T) {
	var s stamp
	up := service.Registration{Up: true, Backend: service.Backend{Host: "h", Port: 80}}
	down := service.Registration{Backend: up.Backend}
	heavier := up
	heavier.Backend.Weight = service.KnownInt(7)
	at := time.UnixMilli
	if got := s.on(up, false, at(1)); got != up {
		t.Errorf("nobody asked for a time: %+v", got)
	}
	for _, step := range []struct {
		r         service.Registration
		now, want int64
	}{{up, 10, 10}, {up, 20, 10}, {down, 30, 30}, {up, 40, 40}, {heavier, 50, 50}, {heavier, 60, 50}} {
		got := s.on(step.r, true, at(step.now))
		if got.Backend.Decided != step.want {
			t.Errorf("at %d: %+v, want the time %d", step.now, got, step.want)
		}
		got.Backend.Decided = 0
		if got != step.r {
			t.Errorf("at %d: %+v is not %+v", step.now, got, step.r)
		}
	}
}
