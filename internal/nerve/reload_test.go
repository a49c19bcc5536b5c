package nerve

import (
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

func TestReloadKeepsWhatIsEqual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, reg := &fakeCheck{}, &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", a, reg)}})
		after(time.Second)
		w.reload(svc("web", "1", b, reg))
		after(5 * time.Second)
		reg.want(t, "web1 up")
		if b.count() > 0 {
			t.Error("the new check of an unchanged service runs")
		}
		_ = w.stop()
	})
}

func TestReloadAddsAndRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("old", "", nil, reg)}})
		after(time.Second)
		w.reload(svc("new", "", nil, reg))
		after(time.Second)
		reg.want(t, "old up", "old down", "new up")
		w.reload()
		reg.want(t, "old up", "old down", "new up", "new down")
		_ = w.stop()
	})
}

// A service that is called otherwise, and registers the same, is never away.
func TestRenamedServicesLeaveNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, slow := &fakeCheck{}, &fakeRegistry{}, &fakeCheck{block: true}
		build := func(name string, check service.Check) Service {
			s := svc(name, "1", check, reg)
			s.Entry = "the same"
			return s
		}
		w := run(t, Config{Services: []Service{build("old", check)}})
		after(time.Second)
		w.reload(build("new", check), svc("other", "", nil, &fakeRegistry{}))
		after(2 * time.Second)
		reg.want(t, "old1 up", "new1 up", "old1 down")
		if st := w.status("new"); st.State != Up || st.Reloading || len(w.statuses()) != 2 {
			t.Errorf("the status is %+v", st)
		}
		w.reload(build("newer", slow)) // and once more, while that is under way
		w.reload(build("newest", check))
		after(2 * time.Second)
		reg.counts(t, 1)
		if !reg.holds["newest1"] {
			t.Errorf("registered are %v", reg.holds)
		}
		_ = w.stop()
	})
}

// Whoever comes with the order to drain has nothing to drain.
func TestDrainOfAServiceThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &fakeRegistry{}
		s := svc("web", "", nil, reg)
		s.Drain = Drain{Wait: time.Minute, Max: time.Hour}
		w := run(t, Config{Services: []Service{s}})
		after(time.Second)
		_ = w.apply(Change{Do: StartDrain, Services: []string{"web"}})
		w.reload()
		w.reload(s)
		after(time.Second)
		if st := w.status("web"); st.State != Drained {
			t.Errorf("the status is %+v", st)
		}
		_ = w.stop()
	})
}

func TestReloadMakesBeforeItBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		w.reload(svc("web", "2", check, reg))
		after(time.Second)
		reg.want(t, "web1 up", "web2 up", "web1 down")
		w.reload(svc("web", "3", check, reg))
		after(time.Second)
		reg.want(t, "web1 up", "web2 up", "web1 down", "web3 up", "web2 down")
		_ = w.stop()
		reg.want(t, "web1 up", "web2 up", "web1 down", "web3 up", "web2 down", "web3 down")
	})
}

// While the registry is away the old registration, which may still stand, is
// not given up before the limit.
func TestReloadWhileTheRegistryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, away := &fakeCheck{}, &fakeRegistry{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		away.hang = true
		w.reload(svc("web", "2", check, away))
		after(takeOverLimit - 2*time.Second)
		reg.want(t, "web1 up")
		after(4 * time.Second)
		reg.want(t, "web1 up", "web1 down")
		if w.log.count("has not been able to report") != 1 {
			t.Error("nobody says so")
		}
		_ = w.stop()
	})
}

// A service that dies during the take-over must not stay registered because
// its old registration waits for the new one.
func TestDeathDuringTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, away := &fakeCheck{}, &fakeRegistry{}, &fakeRegistry{hang: true}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		w.reload(svc("web", "2", check, away))
		after(2 * time.Second)
		reg.want(t, "web1 up")
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(600 * time.Millisecond)
		reg.want(t, "web1 up", "web1 down")
		_ = w.stop()
	})
}

func TestReloadsDuringATakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		for _, key := range []string{"2", "3", "4"} { // faster than a first round
			w.reload(svc("web", key, check, reg))
		}
		after(5 * time.Second)
		reg.want(t, "web1 up", "web2 up", "web1 down", "web4 up", "web2 down")
		_ = w.stop()
	})
}

func TestReloadBackDuringATakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		w.reload(svc("web", "2", check, reg))
		w.reload(svc("web", "3", check, reg))
		w.reload(svc("web", "2", check, reg))
		after(5 * time.Second)
		reg.want(t, "web1 up", "web2 up", "web1 down")
		_ = w.stop()
	})
}

func TestRemovalDuringATakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		w.reload(svc("web", "2", check, reg))
		w.reload()
		after(5 * time.Second)
		if reg.holds["web1"] || reg.holds["web2"] {
			t.Errorf("still registered: %v", reg.holds)
		}
		// And the name is free again.
		w.reload(svc("web", "5", check, reg))
		after(time.Second)
		if !reg.holds["web5"] {
			t.Errorf("not registered: %v", reg.holds)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestEndDuringATakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "1", check, reg)}})
		after(time.Second)
		w.reload(svc("web", "2", check, reg))
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if reg.holds["web1"] || reg.holds["web2"] {
			t.Errorf("still registered: %v", reg.holds)
		}
	})
}
