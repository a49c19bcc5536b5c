package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func hosts(names ...string) map[string]bool {
	set := make(map[string]bool)
	for _, n := range names {
		set[n] = true
	}
	return set
}

// watched is a stage of which only the observers exist.
func watched() (s *stage, registry, haproxy chan sighting) {
	registry, haproxy = make(chan sighting, 10), make(chan sighting, 10) // room for all that a test sends
	s = &stage{inRegistry: registry, inHAProxy: haproxy, hosts: []*host{{name: "web-1"}, {name: "web-2"}}}
	s.o.pause = time.Second
	return s, registry, haproxy
}

func TestAwaitChangeTakesTheFirstMoment(t *testing.T) {
	s, registry, haproxy := watched()
	t0 := time.Unix(1000, 0)
	s.lastRegistry, s.lastHAProxy = sighting{hosts("web-1", "web-2"), t0}, sighting{hosts("web-1", "web-2"), t0}
	registry <- sighting{hosts("web-1"), t0.Add(time.Second)}
	registry <- sighting{hosts(), t0.Add(2 * time.Second)} // web-1 goes too: not what was asked
	haproxy <- sighting{hosts("web-1"), t0.Add(time.Second + 3*time.Millisecond)}
	got, err := s.awaitChange(t.Context(), "web-2", false, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if d := got.haproxy.Sub(got.registry); d != 3*time.Millisecond {
		t.Errorf("HAProxy followed after %v, want 3 ms", d)
	}
}

func TestAwaitChangeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, registry, _ := watched()
		registry <- sighting{hosts("web-1"), time.Now()}
		_, err := s.awaitChange(t.Context(), "web-2", true, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "web-2") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSteadySeesALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, haproxy := watched()
		s.lastHAProxy = sighting{hosts("web-1", "web-2"), time.Now()}
		if err := s.steady(t.Context()); err != nil {
			t.Errorf("nothing happened, and still: %v", err)
		}
		haproxy <- sighting{hosts("web-1"), time.Now()}
		haproxy <- sighting{hosts("web-1", "web-2"), time.Now()}
		if err := s.steady(t.Context()); err == nil {
			t.Error("a server that was lost for a moment went unnoticed")
		}
	})
}
