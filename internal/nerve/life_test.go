package nerve

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

// fakeHook is a command of the user's.
type fakeHook struct {
	calls atomic.Int32
	fails atomic.Bool
	takes time.Duration
	at    atomic.Int64 // seconds since the bubble's beginning, of the last call
	cut   atomic.Int32 // calls whose context ended
}

func (h *fakeHook) hook(timeout time.Duration) Hook {
	return Hook{Timeout: timeout, Run: func(ctx context.Context) error {
		h.calls.Add(1)
		h.at.Store(time.Now().Unix())
		select {
		case <-time.After(h.takes):
		case <-ctx.Done():
			h.cut.Add(1)
			return ctx.Err()
		}
		if h.fails.Load() {
			return errors.New("exit status 1: not yet")
		}
		return nil
	}}
}

func weighty(s Service, weight int64) Service {
	s.Backend.Weight = service.KnownInt(weight)
	return s
}

func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := weighty(svc("web", "1", check, reg), 100)
		s.WarmUp = 20 * time.Second
		w := run(t, Config{Services: []Service{s}})
		after(1500 * time.Millisecond)
		reg.weighs(t, "web1", 1)
		if st := w.status("web"); st.State != Warming || *st.Weight != 1 || *st.FullWeight != 100 {
			t.Errorf("the status is %+v", st)
		}
		after(8 * time.Second)
		reg.weighs(t, "web1", 25)

		// New options of a service that stands go on where the old ones were.
		s.Key, s.Reporters = "2", svc("web", "2", nil, reg).Reporters
		w.reload(s)
		after(2 * time.Second)
		reg.weighs(t, "web2", 36)
		after(10 * time.Second)
		reg.weighs(t, "web2", 100)
		if n := reg.changes; n > 2*steps {
			t.Errorf("%d writes for %d steps", n, steps)
		}
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = nil })
		after(time.Second)
		reg.weighs(t, "web2", 1)
		_ = w.stop()
	})
}

func TestStartHookComesBeforeTheRegistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, hook := &fakeCheck{}, &fakeRegistry{}, &fakeHook{takes: 3 * time.Second}
		hook.fails.Store(true)
		s := svc("web", "", check, reg)
		s.Start = hook.hook(10 * time.Second)
		w := run(t, Config{Services: []Service{s}})
		after(2 * time.Second)
		if st := w.status("web"); st.State != Starting || st.Reason != "start_command runs" || st.Registered {
			t.Errorf("the status is %+v", st)
		}
		after(3 * time.Second)
		reg.want(t, "web down")
		if st := w.status("web"); st.State != Starting || st.Reason != "start_command: exit status 1: not yet" {
			t.Errorf("the status is %+v", st)
		}
		hook.fails.Store(false)
		after(9 * time.Second)
		reg.want(t, "web down", "web up")
		calls := hook.calls.Load()
		after(10 * time.Second)
		if n := hook.calls.Load(); n != calls || n > 3 {
			t.Errorf("%d calls, and %d while the service stood", n, n-calls)
		}
		// It runs again, and is cut short when the service dies.
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = nil })
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		if hook.calls.Load() != calls+1 || hook.cut.Load() != 1 {
			t.Errorf("%d more calls, %d cut short", hook.calls.Load()-calls, hook.cut.Load())
		}
		reg.want(t, "web down", "web up", "web down")
		_ = w.stop()
	})
}

func TestEndDuringTheStartHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, hook := &fakeRegistry{}, &fakeHook{takes: time.Hour}
		s := svc("web", "", nil, reg)
		s.Start = hook.hook(time.Hour)
		w := run(t, Config{Services: []Service{s}})
		after(5 * time.Second)
		began := time.Now()
		if err := w.stop(); err != nil || time.Since(began) > grace || hook.cut.Load() != 1 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// drainable is a service with everything that a drain can have.
func drainable(name string, check *fakeCheck, reg *fakeRegistry, idle, shutdown *fakeHook) Service {
	s := weighty(svc(name, "", check, reg), 10)
	s.Drain = Drain{Min: 2 * time.Second, Max: 20 * time.Second, AtEnd: true}
	if idle != nil {
		s.Drain.Idle = idle.hook(time.Second)
	}
	if shutdown != nil {
		s.Drain.Shutdown = shutdown.hook(5 * time.Second)
	}
	return s
}

func TestDrainWaitsUntilIdleAndShutsDown(t *testing.T) {
	for _, byWeight := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			check, reg, idle, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}, &fakeHook{}
			idle.fails.Store(true)
			s := drainable("web", check, reg, idle, shutdown)
			s.Drain.ByWeight = byWeight
			w := run(t, Config{Services: []Service{s}})
			after(time.Second)
			if err := w.apply(Change{Do: StartDrain, Services: []string{"web"}, Reason: "deploy", By: "ann"}); !errors.Is(err, ErrNotSaved) {
				t.Errorf("without a state_file: %v", err)
			}
			after(time.Second)
			if byWeight {
				reg.want(t, "web up")
				reg.weighs(t, "web", 0)
			} else {
				reg.want(t, "web up", "web down")
			}
			if st := w.status("web"); st.State != Draining || st.Reason != "deploy" || st.Order.Out.By != "ann" {
				t.Errorf("the status is %+v", st)
			}
			after(5 * time.Second)
			if shutdown.calls.Load() != 0 || idle.calls.Load() < 4 {
				t.Errorf("not idle, and %d calls of the shutdown hook, %d of the idle command", shutdown.calls.Load(), idle.calls.Load())
			}
			idle.fails.Store(false)
			after(1100 * time.Millisecond)
			reg.want(t, "web up", "web down")
			if st := w.status("web"); st.State != Drained || shutdown.calls.Load() != 1 {
				t.Errorf("%d calls of the shutdown hook; the status is %+v", shutdown.calls.Load(), st)
			}
			check.set(func(c *fakeCheck) { c.err = errSick }) // the deploy
			after(2 * time.Second)
			check.set(func(c *fakeCheck) { c.err = nil })
			after(2 * time.Second)
			reg.want(t, "web up", "web down")
			_ = w.apply(Change{Do: BringUp, Services: []string{"web"}})
			reg.want(t, "web up", "web down", "web up") // at once
			reg.weighs(t, "web", 10)
			_ = w.stop()
		})
	}
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, idle, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}, &fakeHook{takes: time.Hour}
		idle.fails.Store(true)
		w := run(t, Config{Services: []Service{drainable("web", check, reg, idle, shutdown)}})
		after(time.Second)
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		after(19 * time.Second)
		if shutdown.calls.Load() != 0 {
			t.Error("does not wait")
		}
		after(2 * time.Second)
		if shutdown.calls.Load() != 1 || w.log.count("still not idle") != 1 {
			t.Error("waits for ever")
		}
		after(5 * time.Second)
		if st := w.status("web"); st.State != Drained || shutdown.cut.Load() != 1 || w.log.count("the shutdown hook fails") != 1 {
			t.Errorf("the status is %+v", st)
		}
		_ = w.stop()
	})
}

// Who is idle at the moment of the drain may get something the next: the
// consumers have not heard of it.
func TestIdleIsAskedWhenConsumersHaveHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, idle, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}, &fakeHook{}
		s := drainable("web", check, reg, idle, shutdown)
		s.Drain.Wait, s.Drain.Min, s.Drain.AtEnd = 5*time.Second, 0, false
		end := drainable("end", check, reg, idle, shutdown)
		end.Drain = s.Drain
		w := run(t, Config{Services: []Service{s, end}})
		after(time.Second)
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		after(4900 * time.Millisecond)
		if idle.calls.Load() != 0 || shutdown.calls.Load() != 0 {
			t.Error("the consumers had less than their time")
		}
		after(200 * time.Millisecond)
		if st := w.status("web"); st.State != Drained || idle.calls.Load() != 1 || shutdown.calls.Load() != 1 {
			t.Errorf("the status is %+v", st)
		}
		w.cancel()
		after(4900 * time.Millisecond)
		if shutdown.calls.Load() != 1 {
			t.Error("the consumers had less than their time at the end")
		}
		if err := <-w.done; err != nil || shutdown.calls.Load() != 2 {
			t.Errorf("%v, %d calls of the shutdown hook", err, shutdown.calls.Load())
		}
	})
}

// The least time of a drain counts at the end as well, and so does a drain that
// somebody has begun before.
func TestEndHonoursTheLeastTime(t *testing.T) {
	for name, change := range map[string]func(*Service, *fakeHook){
		"with a shutdown hook": func(s *Service, h *fakeHook) { s.Drain.Shutdown = h.hook(time.Second) },
		"alone":                func(*Service, *fakeHook) {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check, reg, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}
				s := svc("web", "", check, reg)
				s.Drain = Drain{Wait: time.Second, Min: 4 * time.Second, Max: time.Minute}
				change(&s, shutdown)
				w := run(t, Config{Services: []Service{s}})
				after(time.Second)
				w.cancel()
				after(3900 * time.Millisecond)
				if st := w.status("web"); st.State != Draining || shutdown.calls.Load() != 0 {
					t.Errorf("%d calls of the shutdown hook; the status is %+v", shutdown.calls.Load(), st)
				}
				if err := <-w.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestEndWaitsForDrainsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := svc("web", "", check, reg)
		s.Drain = Drain{Wait: 3 * time.Second, Max: time.Minute}
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		after(time.Second)
		w.cancel()
		after(1900 * time.Millisecond)
		if st := w.status("web"); st.State != Draining {
			t.Errorf("the status is %+v", st)
		}
		if err := <-w.done; err != nil {
			t.Error(err)
		}
	})
}

// Who is brought up again during the drain keeps its shutdown hook away.
func TestDrainIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}
		s := drainable("web", check, reg, nil, shutdown)
		s.Drain.Wait = 10 * time.Second
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		after(5 * time.Second)
		_ = w.apply(Change{Do: BringUp, Services: []string{"web"}})
		after(time.Minute)
		reg.want(t, "web up", "web down", "web up")
		if shutdown.calls.Load() != 0 {
			t.Error("shut down all the same")
		}
		_ = w.stop()
	})
}

// The consumers' time begins when the registry has taken the withdrawal.
func TestDrainWaitsForTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}
		s := drainable("web", check, reg, nil, shutdown)
		s.Drain.Wait = 5 * time.Second
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		reg.set(func(r *fakeRegistry) { r.err = errors.New("no quorum") })
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		after(10 * time.Second)
		reg.set(func(r *fakeRegistry) { r.err = nil })
		after(4 * time.Second)
		if shutdown.calls.Load() != 0 {
			t.Error("the consumers had less than their time")
		}
		after(2 * time.Second)
		if shutdown.calls.Load() != 1 {
			t.Error("the drain does not end")
		}
		_ = w.stop()
	})
}

func TestEndDrainsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, shutdown, atOnce := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}, &fakeRegistry{}
		s := drainable("web", check, reg, nil, shutdown)
		s.Drain.Wait, s.Drain.ByWeight = 7*time.Second, true
		plain := svc("plain", "", check, atOnce)
		down := drainable("down", &fakeCheck{err: errSick}, &fakeRegistry{}, nil, &fakeHook{})
		w := run(t, Config{Services: []Service{s, plain, down}})
		after(time.Second)
		w.cancel()
		after(6 * time.Second)
		reg.weighs(t, "web", 0)
		if st := w.status("web"); st.State != Draining {
			t.Errorf("the status is %+v", st)
		}
		if err := w.apply(Change{Do: BringUp}); !errors.Is(err, ErrEnding) {
			t.Errorf("an order at the end: %v", err)
		}
		after(time.Second)
		if err := <-w.done; err != nil || shutdown.calls.Load() != 1 {
			t.Errorf("%v, %d calls of the shutdown hook", err, shutdown.calls.Load())
		}
		reg.want(t, "web up", "web down")
		atOnce.want(t, "plain up", "plain down")
	})
}

func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, shutdown := &fakeCheck{}, &fakeRegistry{}, &fakeHook{}
		s := drainable("web", check, reg, nil, shutdown)
		s.Drain.Wait = time.Hour
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		w.control.Hurry() // of an end that has not begun: nothing
		after(time.Second)
		w.cancel()
		after(time.Second)
		w.control.Hurry()
		if err := <-w.done; err != nil || shutdown.calls.Load() != 0 {
			t.Errorf("%v, %d calls of the shutdown hook", err, shutdown.calls.Load())
		}
		reg.want(t, "web up", "web down")
	})
}

// Beside a registry that holds only who is up, one may hold who is down as
// well.
func TestExposeOnUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, all := &fakeCheck{}, &fakeRegistry{}, &fakeRegistry{}
		s := svc("web", "", check, reg, all)
		s.Reporters[1].Expose = true
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		reg.want(t, "web up", "web down")
		all.want(t, "web up")
		if got := string(all.last["web"].Payload()); got != `{"available":false,"unavailable_reason":"c: sick","host":"h","port":80,"name":"i"}` {
			t.Errorf("registered is %s", got)
		}
		check.set(func(c *fakeCheck) { c.err = nil })
		after(time.Second)
		if got := string(all.last["web"].Payload()); got != `{"available":true,"host":"h","port":80,"name":"i"}` {
			t.Errorf("registered is %s", got)
		}
		_ = w.stop()
		all.want(t, "web up", "web down")
	})
}
