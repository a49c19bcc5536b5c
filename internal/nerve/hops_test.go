package nerve

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/telemetry"
)

// wantHop looks for what a histogram has counted.
func wantHop(t *testing.T, h *telemetry.Histogram, count, sum string) {
	t.Helper()
	var e telemetry.Exposition
	e.Metric("m", "histogram", "M.")
	e.Histogram(h)
	if text := string(e.Bytes()); !strings.Contains(text, "m_sum "+sum+"\n") || !strings.Contains(text, "m_count "+count+"\n") {
		t.Errorf("want %s changes of %s s in all:\n%s", count, sum, text)
	}
}

// Two failures in a row take a service down: the decision comes one round of
// half a second after the first. A registry that refuses is tried again.
func TestHopsOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Checks[0].Fall = 2
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		reg.want(t, "web up")
		wantHop(t, w.control.Hops.Judged, "0", "0")
		wantHop(t, w.control.Hops.Registered, "0", "0") // the start says nothing about a change
		reg.set(func(r *fakeRegistry) { r.err = errSick })
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		wantHop(t, w.control.Hops.Judged, "1", "0.5")
		wantHop(t, w.control.Hops.Registered, "0", "0")
		reg.set(func(r *fakeRegistry) { r.err = nil })
		after(time.Second)
		reg.want(t, "web up", "web down")
		if n := registered(w); n != 1 {
			t.Errorf("%d withdrawals are counted", n)
		}
		check.set(func(c *fakeCheck) { c.err = nil })
		after(10 * time.Second)
		reg.want(t, "web up", "web down", "web up")
		wantHop(t, w.control.Hops.Judged, "2", "0.5") // rise is 1: the first success decides
		if n := registered(w); n != 2 {
			t.Errorf("%d changes are counted", n)
		}
		_ = w.stop()
	})
}

// registered counts what has reached the registry.
func registered(w *world) (n int) {
	var e telemetry.Exposition
	e.Metric("m", "histogram", "M.")
	e.Histogram(w.control.Hops.Registered)
	for line := range strings.Lines(string(e.Bytes())) {
		if strings.HasPrefix(line, `m_bucket{le="60"} `) {
			n = int(line[len(line)-2] - '0')
		}
	}
	return n
}

// One result that is not repeated is no doubt that lasts.
func TestADoubtThatPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Checks[0].Fall = 2
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(500 * time.Millisecond) // one failure
		check.set(func(c *fakeCheck) { c.err = nil })
		after(10 * time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(2 * time.Second)
		reg.want(t, "web up", "web down")
		wantHop(t, w.control.Hops.Judged, "1", "0.5")
		_ = w.stop()
	})
}
