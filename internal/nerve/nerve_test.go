package nerve

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestUpDownAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}})
		after(time.Second)
		reg.want(t, "web up")
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web up", "web down")
		check.set(func(c *fakeCheck) { c.err = nil })
		after(10 * time.Second)
		reg.want(t, "web up", "web down", "web up")
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		reg.want(t, "web up", "web down", "web up", "web down")
		if up, down := w.log.count("service is up"), w.log.count("err=sick"); up != 2 || down != 1 {
			t.Errorf("%d lines on up, %d with the reason for down: want one per change", up, down)
		}
	})
}

func TestEveryRoundReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", nil, reg)}})
		after(20 * time.Second)
		reg.set(func(r *fakeRegistry) {
			if r.rounds < 39 || r.rounds > 41 {
				t.Errorf("%d reports in 20 s at one per 0.5 s", r.rounds)
			}
			r.holds = nil // behind our back
		})
		after(time.Second)
		reg.want(t, "web up", "web up")
		_ = w.stop()
	})
}

func TestRoundsNeverOverlapNorDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Checks[0].Timeout = 700 * time.Millisecond // longer than the interval
		w := run(t, Config{Services: []Service{s}})
		after(10 * time.Second)
		check.set(func(c *fakeCheck) { c.block = true })
		after(10 * time.Second)
		_ = w.stop()
		for i := 1; i < len(check.calls); i++ {
			gap := check.calls[i].Sub(check.calls[i-1])
			// On the grid: one interval apart, or two when a round takes 0.7 s.
			if off := gap % (500 * time.Millisecond); off != 0 || gap > time.Second {
				t.Fatalf("rounds %d and %d are %v apart", i-1, i, gap)
			}
		}
	})
}

func TestFailedReportIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{err: errors.New("no quorum")}
		s := svc("web", "", check, reg)
		s.Interval = time.Minute // sooner than the next round
		w := run(t, Config{Services: []Service{s}})
		after(30 * time.Second)
		reg.want(t)
		reg.set(func(r *fakeRegistry) { r.err = nil })
		after(1100 * time.Millisecond)
		reg.want(t, "web up")
		if n := w.log.count("no quorum"); n != 1 {
			t.Errorf("%d log lines about one failing registry", n)
		}
		if n := w.log.count("reports again"); n != 1 {
			t.Errorf("%d log lines about its return", n)
		}
		_ = w.stop()
	})
}

// The wanted state may change while the registry is away: only the newest counts.
func TestDownWhileTheRegistryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}})
		after(time.Second)
		reg.set(func(r *fakeRegistry) { r.err = errors.New("away") })
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(5 * time.Second)
		reg.want(t, "web up")
		reg.set(func(r *fakeRegistry) { r.err = nil })
		after(time.Second)
		reg.want(t, "web up", "web down")
		_ = w.stop()
	})
}

func TestHungRegistryDelaysNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, hung, fine := &fakeCheck{}, &fakeRegistry{hang: true}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, hung, fine)}})
		after(time.Second)
		fine.want(t, "web up")
		before := check.count()
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(510 * time.Millisecond)
		fine.want(t, "web up", "web down")
		after(10 * time.Second)
		if n := check.count() - before; n < 20 {
			t.Errorf("%d checks in 10.5 s beside a hung registry", n)
		}
		hung.set(func(r *fakeRegistry) { r.hang = false })
		after(6 * time.Second)
		hung.want(t, "web down")
		_ = w.stop()
	})
}

// From the failing check to the withdrawal no timer stands in between.
func TestWithdrawalIsImmediate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}})
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web up", "web down")
		failed := check.calls[len(check.calls)-1]
		for _, at := range check.calls {
			if at.After(reg.times[1].Add(-time.Nanosecond)) {
				failed = at
				break
			}
		}
		if d := reg.times[1].Sub(failed); d != 0 {
			t.Errorf("withdrawn %v after the failing check", d)
		}
		_ = w.stop()
	})
}

func TestAllChecksMustPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c, reg := &fakeCheck{}, &fakeCheck{}, &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{three("web", reg, a, b, c)}})
		after(1100 * time.Millisecond)
		reg.want(t, "web up")
		b.set(func(f *fakeCheck) { f.err = errSick })
		after(500 * time.Millisecond) // a first failure is within its fall
		reg.want(t, "web up")
		after(500 * time.Millisecond)
		reg.want(t, "web up", "web down")
		_ = w.stop()
	})
}

// three is a service with three checks, the second of which has a fall of 2.
func three(name string, reg *fakeRegistry, checks ...*fakeCheck) Service {
	s := svc(name, "", checks[0], reg)
	s.Checks = append(s.Checks, s.Checks[0], s.Checks[0])
	s.Checks[1].Check, s.Checks[2].Check = checks[1], checks[2]
	s.Checks[1].Fall = 2
	return s
}

// A check that hangs neither delays the others nor what they lead to.
func TestChecksDoNotWaitForOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, slow, c, reg := &fakeCheck{}, &fakeCheck{}, &fakeCheck{}, &fakeRegistry{}
		s := three("web", reg, a, slow, c)
		s.Checks[1].Timeout = 20 * time.Second
		w := run(t, Config{Services: []Service{s}})
		after(1100 * time.Millisecond)
		slow.set(func(f *fakeCheck) { f.block = true })
		after(time.Second)
		before := a.count()
		after(5 * time.Second)
		if n := a.count() - before; n != 10 {
			t.Errorf("%d calls in 5 s beside a slow check", n)
		}
		reg.want(t, "web up")
		c.set(func(f *fakeCheck) { f.err = errSick })
		after(500 * time.Millisecond)
		reg.want(t, "web up", "web down")
		if n := slow.count(); n > 4 {
			t.Errorf("%d calls of the slow check overlap", n)
		}
		_ = w.stop()
	})
}

// A check that ignores its deadline has failed all the same, and no second call
// is made beside it.
func TestDeafCheckFailsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, deaf, c, reg := &fakeCheck{}, &fakeCheck{free: make(chan struct{})}, &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{three("web", reg, a, deaf, c)}})
		after(1100 * time.Millisecond)
		deaf.set(func(f *fakeCheck) { f.deaf = true })
		after(500 * time.Millisecond)
		calls := deaf.count()
		reg.want(t, "web up")
		after(100*time.Millisecond + grace + 500*time.Millisecond) // twice, as its fall is 2
		reg.want(t, "web up", "web down")
		after(5 * time.Second)
		if n := deaf.count(); n != calls {
			t.Errorf("%d more calls beside the one that hangs", n-calls)
		}
		deaf.set(func(f *fakeCheck) { f.deaf = false; close(f.free) })
		after(time.Second)
		reg.want(t, "web up", "web down", "web up")
		_ = w.stop()
	})
}

// However many checks ignore the end, their service is withdrawn after the grace
// of all of them together.
func TestDeafChecksDoNotHoldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{free: make(chan struct{})}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{three("web", reg, check, check, check), three("api", reg, check, check, check)}})
		after(2 * time.Second)
		check.set(func(f *fakeCheck) { f.deaf = true })
		after(2 * time.Second)
		w.reload(three("api", reg, check, check, check))
		after(grace)
		if reg.holds["web"] {
			t.Error("what the reload has removed is still registered")
		}
		began := time.Now()
		err := w.stop()
		if took := time.Since(began); took > grace || err != nil {
			t.Errorf("took %v: %v", took, err)
		}
		close(check.free)
	})
}

func TestHangingCheckFailsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{block: true}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}})
		after(time.Second)
		reg.want(t, "web down")
		if w.log.count("no answer within 100ms") != 1 {
			t.Error("the log does not give the reason")
		}
		_ = w.stop()
	})
}

func TestPanicIsAFailedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{panic: true}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("bad", "", check, reg), svc("good", "", nil, reg)}})
		after(time.Second)
		if reg.holds["bad"] || !reg.holds["good"] || w.log.count("a bug in a check") != 1 {
			t.Errorf("registry holds %v", reg.holds)
		}
		_ = w.stop()
	})
}

func TestRateLimit(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			check, reg := &fakeCheck{}, &fakeRegistry{}
			s := svc("web", "", check, reg)
			s.Limit = Limit{On: true, Rate: 0.1, Burst: 2, Shadow: shadow}
			w := run(t, Config{Services: []Service{s}})
			after(time.Second)
			for _, err := range []error{errSick, nil} { // the second and third change
				check.set(func(c *fakeCheck) { c.err = err })
				after(600 * time.Millisecond)
			}
			if shadow {
				reg.want(t, "web up", "web down", "web up")
			} else {
				reg.want(t, "web up", "web down")
				after(10 * time.Second) // one more token: the change follows by itself
				reg.want(t, "web up", "web down", "web up")
			}
			if n := w.log.count("too often for rate_limiting"); n != 1 {
				t.Errorf("%d log lines about one change held back", n)
			}
			_ = w.stop()
		})
	}
}

func TestNoLimitMeansNoLimit(t *testing.T) {
	b := newBucket(Limit{On: true, Rate: math.Inf(1), Burst: math.Inf(1)}, time.Now())
	for range 100 {
		if !b.take(time.Now()) {
			t.Fatal("held back")
		}
	}
}

func TestStopWithdrawsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &fakeRegistry{}
		var services []Service
		for _, name := range []string{"a", "b", "c"} {
			services = append(services, svc(name, "", nil, reg))
		}
		w := run(t, Config{Services: services})
		after(time.Second)
		reg.set(func(r *fakeRegistry) { r.hang = true })
		began := time.Now()
		err := w.stop()
		if took := time.Since(began); took != closeDeadline {
			t.Errorf("took %v, want %v for all together", took, closeDeadline)
		}
		for _, name := range []string{"service a:", "service b:", "service c:"} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name %s %v", name, err)
			}
		}
	})
}

func TestDeafReporterDoesNotHoldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		reg := &fakeRegistry{deaf: free}
		w := run(t, Config{Services: []Service{svc("web", "", nil, reg)}})
		after(time.Second)
		began := time.Now()
		err := w.stop()
		if took := time.Since(began); took > closeDeadline+grace || err == nil {
			t.Errorf("took %v: %v", took, err)
		}
		close(free)
	})
}

func TestHeartbeat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "beat")
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{free: make(chan struct{})}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}, Heartbeat: path})
		age := func() time.Duration {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(info.ModTime())
		}
		if age() != 0 {
			t.Error("not touched at once")
		}
		after(time.Hour)
		if age() > heartbeatEvery {
			t.Errorf("%v old though all is well", age())
		}
		check.set(func(c *fakeCheck) { c.deaf = true })
		after(time.Minute)
		if age() < 30*time.Second {
			t.Errorf("%v old though a loop hangs", age())
		}
		if w.log.count("heartbeat is withheld") == 0 {
			t.Error("and nobody says why")
		}
		check.set(func(c *fakeCheck) { c.deaf = false; close(c.free) })
		after(time.Minute)
		if age() > heartbeatEvery {
			t.Errorf("%v old though all is well again", age())
		}
		_ = w.stop()
	})
}

// When nerve itself has nothing left to check with, nothing is withdrawn.
func TestOutOfFileDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{err: fmt.Errorf("cannot connect: %w", syscall.EMFILE)}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", check, reg)}})
		after(2 * time.Second)
		reg.want(t) // never seen: nothing is known
		check.set(func(c *fakeCheck) { c.err = nil })
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = fmt.Errorf("cannot connect: %w", syscall.EMFILE) })
		after(time.Minute)
		reg.want(t, "web up")
		if st := w.status("web"); st.State != Up || !strings.Contains(st.Checks[0].Result, "too many open files") {
			t.Errorf("the status is %+v", st)
		}
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web up", "web down")
		if n := w.log.count("nerve cannot check"); n != 2 || w.log.count("nerve can check again") != 2 {
			t.Errorf("said %d times", n)
		}
		_ = w.stop()
	})
}
