package nerve

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

func TestDampingHoldsWhatFlaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Damping = Damping{Drops: 3, Calm: 10 * time.Second}
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		for range 4 {
			check.set(func(c *fakeCheck) { c.err = errSick })
			after(500 * time.Millisecond)
			check.set(func(c *fakeCheck) { c.err = nil })
			after(500 * time.Millisecond)
		}
		// The third drop within two seconds counts a little less than three; the
		// fourth is too much.
		want := []string{"web up", "web down", "web up", "web down", "web up", "web down", "web up", "web down"}
		reg.want(t, want...)
		st := w.status("web")
		if st.State != Down || st.Held == nil || st.Held.By != "flap_damping" || st.Held.Level != whole || st.Flaps.Total != 4 || st.Flaps.Fresh < 3 {
			t.Errorf("the status is %+v", st)
		}
		wait := time.Until(st.Held.Until)
		if wait < 10*time.Second || wait > 20*time.Second {
			t.Errorf("held for %v", wait)
		}
		after(wait - time.Second)
		reg.want(t, want...)
		after(2 * time.Second)
		reg.want(t, append(want, "web up")...)
		if n := w.log.count("flaps; it is not registered"); n != 1 {
			t.Errorf("%d lines about it", n)
		}
		_ = w.stop()
	})
}

// Whoever flaps for hours is believed again after twice the time of calm.
func TestDampingIsBounded(t *testing.T) {
	now := time.Now()
	f := flaps{damping: Damping{Drops: 6, Calm: 30 * time.Second}}
	for range 1000 {
		f.drop(now)
		now = now.Add(time.Second)
	}
	if !f.hold(now) {
		t.Fatal("not damped")
	}
	if wait := f.until().Sub(now); wait > time.Minute || wait < 50*time.Second {
		t.Errorf("held for %v", wait)
	}
	if f.hold(f.until().Add(time.Millisecond)) || f.total != 1000 {
		t.Errorf("still held, or miscounted: %+v", f)
	}
	slow := flaps{damping: Damping{Drops: 6, Calm: 30 * time.Second}}
	for range 100 { // once in ten seconds is life
		slow.drop(now)
		now = now.Add(10 * time.Second)
		if slow.hold(now) {
			t.Fatal("damped")
		}
	}
	if off := (flaps{fresh: 100, at: now}); off.hold(now) {
		t.Error("damped without damping")
	}
}

func TestDegradedLowersTheWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Backend.Weight = service.KnownInt(80)
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		reg.weighs(t, "web", 80)
		check.set(func(c *fakeCheck) { c.err = service.Degraded{Reason: "one disk is full", Weight: 25} })
		after(time.Second)
		reg.weighs(t, "web", 20)
		if st := w.status("web"); st.State != Degraded || st.Reason != "c: degraded to 25 % of the weight: one disk is full" || *st.Weight != 20 || *st.FullWeight != 80 {
			t.Errorf("the status is %+v", st)
		}
		check.set(func(c *fakeCheck) { c.err = nil })
		after(time.Second)
		reg.weighs(t, "web", 80)
		reg.want(t, "web up")
		_ = w.stop()
	})
}

func TestMaxDownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		var services []Service
		for i := range 10 {
			services = append(services, svc(fmt.Sprint(i), "", check, reg))
		}
		never := &fakeCheck{err: errSick} // was never registered: takes no place
		services = append(services, svc("never", "", never, reg))
		w := run(t, Config{Services: services, MaxDown: 3})
		after(2 * time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(2 * time.Second)
		reg.counts(t, 7)
		held := 0
		for _, st := range w.statuses() {
			if st.Held != nil && st.Held.By == "max_down_at_once" && st.State == Up {
				held++
			}
		}
		if held != 7 || w.log.count("it stays registered") != 7 {
			t.Errorf("%d services say that they are held", held)
		}
		w.configs.Put(Config{Services: services, MaxDown: 5})
		after(2 * time.Second)
		reg.counts(t, 5)
		w.configs.Put(Config{Services: services})
		after(2 * time.Second)
		reg.counts(t, 0)
		check.set(func(c *fakeCheck) { c.err = nil })
		after(2 * time.Second)
		reg.counts(t, 10)
		w.configs.Put(Config{Services: services, MaxDown: 1})
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(2 * time.Second)
		reg.counts(t, 9)
		_ = w.stop()
	})
}

// New options do not take a service out that the limit keeps in, and who is
// removed leaves its place to another.
func TestMaxDownAtOnceOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("a", "1", check, reg), svc("b", "1", check, reg)}, MaxDown: 1})
		after(2 * time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(2 * time.Second)
		reg.counts(t, 1)
		kept, out := "a", "b"
		if reg.holds["b1"] {
			kept, out = "b", "a"
		}
		w.configs.Put(Config{Services: []Service{svc(kept, "2", check, reg), svc(out, "1", check, reg)}, MaxDown: 1})
		after(5 * time.Second)
		reg.counts(t, 1)
		w.configs.Put(Config{Services: []Service{svc(kept, "2", check, reg)}, MaxDown: 1})
		after(2 * time.Second)
		reg.counts(t, 0)
		_ = w.stop()
	})
}

func TestRamp(t *testing.T) {
	got := ""
	for s := range 12 {
		got += fmt.Sprintf("%.0f ", 100*ramp(time.Duration(s)*time.Second, 10*time.Second))
	}
	if got != "1 4 9 16 25 36 49 64 81 100 100 100 " {
		t.Errorf("the ramp is %s", got)
	}
	if ramp(-time.Second, time.Minute) != 0.01 || ramp(0, 0) != 1 {
		t.Error("the ends of the ramp")
	}
	none := service.Int{}
	for _, c := range []struct {
		weight service.Int
		level  int
		part   float64
		want   service.Int
	}{
		{none, 50, 0.5, none},
		{service.KnownInt(0), 50, 0.5, service.KnownInt(0)},
		{service.KnownInt(100), whole, 1, service.KnownInt(100)},
		{service.KnownInt(100), 50, 0.5, service.KnownInt(25)},
		{service.KnownInt(1), 50, 0.01, service.KnownInt(1)},
		{service.KnownInt(math.MaxInt32), whole, 0.5, service.KnownInt(math.MaxInt32/2 + 1)},
	} {
		if got := weigh(c.weight, c.level, c.part); got != c.want {
			t.Errorf("%v at %d %% and %v: %v, want %v", c.weight, c.level, c.part, got, c.want)
		}
	}
}

// Registrations go out one after another at the rate; a withdrawal does not
// wait behind them.
func TestRateOfRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, sick, reg := &fakeCheck{}, &fakeCheck{}, &fakeRegistry{}
		var services []Service
		for i := range 100 {
			services = append(services, svc(fmt.Sprint(i), "", check, reg))
		}
		services = append(services, svc("sick", "", sick, &fakeRegistry{}))
		w := run(t, Config{Services: services, Rate: 10})
		after(5 * time.Second)
		n := 0
		reg.set(func(r *fakeRegistry) { n = len(r.holds) })
		if n < 35 || n > 51 {
			t.Errorf("%d registrations in 5 s at 10 a second", n)
		}
		after(7 * time.Second)
		reg.counts(t, 100)
		w.configs.Put(Config{Services: services, Rate: 0.1})
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.counts(t, 0)
		_ = w.stop()
	})
}

// What is registered already does not queue with a new weight: a drain must not
// wait behind the registrations of others.
func TestWeightsDoNotQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, first, reg := &fakeCheck{}, &fakeRegistry{}, &fakeRegistry{}
		web := weighty(svc("web", "", check, first), 10)
		w := run(t, Config{Services: []Service{web}, Rate: 0.01})
		after(time.Second)
		services := []Service{web}
		for i := range 10 { // fill the queue
			services = append(services, svc(fmt.Sprint(i), "", nil, reg))
		}
		w.configs.Put(Config{Services: services, Rate: 0.01})
		after(time.Second)
		_ = w.apply(Change{Do: SetWeight, Services: []string{"web"}, Weight: 0})
		first.weighs(t, "web", 0)
		_ = w.stop()
	})
}

// What has to wait for its turn is not registered when it dies meanwhile.
func TestDeathInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, first, reg := &fakeCheck{}, &fakeRegistry{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("first", "", nil, first)}, Rate: 0.01})
		after(time.Second)
		first.want(t, "first up")
		w.configs.Put(Config{Services: []Service{svc("first", "", nil, first), svc("web", "", check, reg)}, Rate: 0.01})
		after(10 * time.Second)
		reg.want(t)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web down")
		_ = w.stop()
	})
}

// A reload, of a label for example, forgives nothing: who is damped or limited
// stays so.
func TestReloadKeepsWhatHoldsAServiceBack(t *testing.T) {
	for name, change := range map[string]func(*Service){
		"flap_damping":  func(s *Service) { s.Damping = Damping{Drops: 3, Calm: 10 * time.Second} },
		"rate_limiting": func(s *Service) { s.Limit = Limit{On: true, Rate: 0.05, Burst: 8} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check, reg := &fakeCheck{}, &fakeRegistry{}
				build := func(key string) Service {
					s := svc("web", key, check, reg)
					change(&s)
					return s
				}
				w := run(t, Config{Services: []Service{build("1")}})
				after(time.Second)
				for range 4 {
					check.set(func(c *fakeCheck) { c.err = errSick })
					after(500 * time.Millisecond)
					check.set(func(c *fakeCheck) { c.err = nil })
					after(500 * time.Millisecond)
				}
				before := w.status("web")
				if before.Held == nil || before.Held.By != name || before.Registered {
					t.Fatalf("the status is %+v", before)
				}
				w.reload(build("2"))
				after(2 * time.Second)
				st := w.status("web")
				if st.Reloading || st.Held == nil || st.Held.By != name || st.Registered || st.Flaps.Total != before.Flaps.Total {
					t.Errorf("the status is %+v", st)
				}
				after(time.Minute)
				if st := w.status("web"); !st.Registered || st.Held != nil {
					t.Errorf("the status is %+v", st)
				}
				_ = w.stop()
			})
		})
	}
}

// lazy is a reporter that knows when it has nothing to do.
type lazy struct {
	fakeReporter
	made *atomic.Bool // what is wanted is registered
}

func (l lazy) Stands(r service.Registration) bool  { return l.Settled(r) }
func (l lazy) Settled(r service.Registration) bool { return r.Up && l.made.Load() }
func (l lazy) Holds() bool                         { return l.made.Load() }

func (l lazy) Report(ctx context.Context, r service.Registration) error {
	err := l.fakeReporter.Report(ctx, r)
	l.made.Store(err == nil && r.Up)
	return err
}

// Who knows that all is true is not called, and still counts as told; what
// vanishes is repaired in the next round.
func TestSettledReportersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, made := &fakeCheck{}, &fakeRegistry{}, &atomic.Bool{}
		s := svc("web", "", check, reg)
		s.Reporters[0].Reporter = lazy{fakeReporter{"web", reg}, made}
		w := run(t, Config{Services: []Service{s}})
		after(20 * time.Second)
		reg.set(func(r *fakeRegistry) {
			if r.rounds != 1 {
				t.Errorf("called %d times", r.rounds)
			}
			r.holds = nil // behind our back
		})
		made.Store(false)
		after(time.Second)
		reg.want(t, "web up", "web up")
		reg.set(func(r *fakeRegistry) { r.err = errSick })
		made.Store(false)
		after(time.Second)
		if st := w.status("web").Reporters[0]; st.Current || st.Err == "" {
			t.Errorf("%+v", st)
		}
		made.Store(true) // its session has come back
		after(2 * time.Second)
		if st := w.status("web").Reporters[0]; !st.Current || st.Err != "" {
			t.Errorf("%+v", st)
		}
		reg.set(func(r *fakeRegistry) { r.err = nil })
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web up", "web up", "web down")
		_ = w.stop()
	})
}
