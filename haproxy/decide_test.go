package haproxy

import (
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	calmChange := func() pending { // the first for a long time
		var p pending
		p.note(t0)
		return p
	}
	burst := func(gaps ...time.Duration) (p pending, now time.Time) {
		now = t0
		p.note(now)
		p.clear() // the first was written at once
		for _, g := range gaps {
			now = now.Add(g)
			p.note(now)
		}
		return p, now
	}
	one, oneAt := burst(50 * time.Millisecond)
	many, manyAt := burst(slicesRepeat(90*time.Millisecond, 13)...)

	for _, tc := range []struct {
		name  string
		s     situation
		step  step
		again time.Duration
	}{
		{"nothing to do", situation{now: t0}, stepNone, 0},
		{"the file is looked at now and then", situation{now: t0, probe: lookEvery}, stepNone, lookEvery},
		{"first change without a socket", situation{now: t0, stale: true, pending: calmChange(), immediate: true}, stepWrite, 0},
		{"first change with a socket", situation{now: t0, stale: true, pending: calmChange()}, stepNone, quiet},
		{"first change with a socket, later", situation{now: t0.Add(quiet), stale: true, pending: calmChange()}, stepWrite, 0},
		{"second change soon after", situation{now: oneAt, stale: true, pending: one, immediate: true}, stepNone, quiet},
		{"changes without a pause", situation{now: manyAt, stale: true, pending: many, immediate: true}, stepWrite, 0},
		{"a write failed", situation{now: t0, stale: true, pending: calmChange(), immediate: true, fileRetry: t0.Add(time.Second)}, stepNone, time.Second},
		{"quarantine is tried again", situation{now: t0, recheck: t0}, stepWrite, 0},
		{"quarantine waits", situation{now: t0, recheck: t0.Add(time.Minute)}, stepNone, time.Minute},
		{"quarantine that cannot be written", situation{now: t0, recheck: t0, fileRetry: t0.Add(time.Second)}, stepNone, time.Second},
		{"reload", situation{now: t0, reload: true}, stepReload, 0},
		{"reload too early", situation{now: t0, reload: true, reloadWait: 2 * time.Second}, stepNone, 2 * time.Second},
		{"reload of a socket that is down", situation{now: t0, reload: true, notBefore: t0.Add(socketGrace), reloadWait: time.Second}, stepNone, socketGrace},
		{"reload waits for the file", situation{now: t0, reload: true, stale: true, pending: calmChange()}, stepNone, quiet},
		{
			"reload does not wait for a file that cannot be written",
			situation{now: t0, reload: true, stale: true, pending: calmChange(), fileRetry: t0.Add(time.Second)},
			stepReload, 0,
		},
		{"state file", situation{now: t0, state: true}, stepSave, 0},
		{"state file later", situation{now: t0, state: true, stateDue: t0.Add(time.Minute)}, stepNone, time.Minute},
		{"spare", situation{now: t0, spareDue: t0}, stepSpare, 0},
		{"spare later", situation{now: t0, spareDue: t0.Add(time.Second)}, stepNone, time.Second},
		{"no spare of what is about to be replaced", situation{now: t0, spareDue: t0, stale: true, pending: calmChange()}, stepNone, quiet},
		{"something is under way", situation{now: t0, busy: true, stale: true, immediate: true, reload: true, state: true}, stepNone, jobPoll},
		{"the model changes by itself", situation{now: t0, nextModel: t0.Add(3 * time.Second), probe: lookEvery}, stepNone, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			next, again := decide(tc.s)
			if next != tc.step || again != tc.again {
				t.Errorf("step %v again %v, want %v %v", next, again, tc.step, tc.again)
			}
		})
	}
}

func slicesRepeat(d time.Duration, n int) []time.Duration {
	list := make([]time.Duration, n)
	for i := range list {
		list[i] = d
	}
	return list
}

func TestLimiter(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	l := limiter{interval: 2500 * time.Millisecond}
	if w := l.wait(t0); w != 0 {
		t.Fatalf("the first reload waits %v", w)
	}
	l.done(t0, true)
	if w := l.wait(t0); w != l.interval {
		t.Fatalf("the second reload waits %v", w)
	}
	for i, want := range []time.Duration{2500, 5000, 10000, 20000, 40000, 60000, 60000} {
		l.done(t0, false)
		if w := l.wait(t0); w != want*time.Millisecond {
			t.Fatalf("after %d failures the wait is %v", i+1, w)
		}
	}
	l.done(t0, true)
	if w := l.wait(t0); w != l.interval {
		t.Fatalf("after a success the wait is %v", w)
	}
}

func TestLimiterNeverBelowTheInterval(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	for _, interval := range []time.Duration{0, 10 * time.Millisecond, 5 * time.Minute} {
		l := limiter{interval: interval, jitter: 0.5}
		for _, ok := range []bool{true, false, false, true} {
			l.done(t0, ok)
			w := l.wait(t0)
			if w < interval || ok && w > interval*3/2 || !ok && w < firstReloadDelay {
				t.Errorf("interval %v, ok %v: wait %v", interval, ok, w)
			}
		}
	}
}
