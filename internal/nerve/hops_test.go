package nerve

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/telemetry"
)

// counted is what a histogram has counted, and the sum of it in seconds.
func counted(t *testing.T, h *telemetry.Histogram) (n int, sum float64) {
	t.Helper()
	var e telemetry.Exposition
	e.Metric("m", "histogram", "M.")
	e.Histogram(h)
	text := string(e.Bytes())
	_, tail, _ := strings.Cut(text, "m_sum ")
	if _, err := fmt.Sscanf(tail, "%g\nm_count %d\n", &sum, &n); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return n, sum
}

func wantHop(t *testing.T, h *telemetry.Histogram, count int, sum float64) {
	t.Helper()
	if n, s := counted(t, h); n != count || s != sum {
		t.Errorf("%d changes of %g s in all, want %d of %g s", n, s, count, sum)
	}
}

// hopping runs a service that two failures in a row take down, and that is up.
func hopping(t *testing.T) (*fakeCheck, *fakeRegistry, *world) {
	t.Helper()
	check, reg := &fakeCheck{}, &fakeRegistry{}
	s := svc("web", "", check, reg)
	s.Checks[0].Fall = 2
	w := run(t, Config{Services: []Service{s}})
	after(time.Second)
	reg.want(t, "web up")
	return check, reg, w
}

// The decision comes one round of half a second after the first of two failures.
// A registry that refuses is tried again.
func TestHopsOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, w := hopping(t)
		hops := w.control.Hops
		wantHop(t, hops.Judged, 0, 0)
		wantHop(t, hops.Registered, 0, 0) // the start says nothing about a change
		reg.set(func(r *fakeRegistry) { r.err = errSick })
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		wantHop(t, hops.Judged, 1, 0.5)
		wantHop(t, hops.Registered, 0, 0)
		reg.set(func(r *fakeRegistry) { r.err = nil })
		after(time.Second)
		reg.want(t, "web up", "web down")
		if n, _ := counted(t, hops.Registered); n != 1 {
			t.Errorf("%d withdrawals are counted", n)
		}
		check.set(func(c *fakeCheck) { c.err = nil })
		after(10 * time.Second)
		reg.want(t, "web up", "web down", "web up")
		wantHop(t, hops.Judged, 2, 0.5) // rise is 1: the first success decides
		if n, _ := counted(t, hops.Registered); n != 2 {
			t.Errorf("%d changes are counted", n)
		}
		_ = w.stop()
	})
}

// One result that is not repeated is no doubt that lasts.
func TestADoubtThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, w := hopping(t)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(500 * time.Millisecond) // one failure
		check.set(func(c *fakeCheck) { c.err = nil })
		after(10 * time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(2 * time.Second)
		reg.want(t, "web up", "web down")
		wantHop(t, w.control.Hops.Judged, 1, 0.5)
		_ = w.stop()
	})
}
