package nerve

import (
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

// rare is a service that is checked once in a minute.
func rare(check *fakeCheck, reg *fakeRegistry) Service {
	s := svc("web", "", nil, reg)
	if check != nil {
		s = svc("web", "", check, reg)
		s.Checks[0].Timeout = 50 * time.Second
	}
	s.Interval = time.Minute
	return s
}

// What a registry has lost is there again within seconds, however rarely the
// service is checked, and also while its only check is under way.
func TestRepairDoesNotWaitForAChecksRound(t *testing.T) {
	slow := &fakeCheck{}
	for name, check := range map[string]*fakeCheck{"a check": {}, "no check": nil, "a check under way": slow} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := &fakeRegistry{}
				w := run(t, Config{Services: []Service{rare(check, reg)}})
				after(2 * time.Second)
				reg.want(t, "web up")
				if check == slow {
					slow.set(func(c *fakeCheck) { c.block = true })
					after(time.Minute)
				}
				reg.set(func(r *fakeRegistry) { r.holds = nil }) // behind our back
				after(3 * time.Second)
				reg.want(t, "web up", "web up")
				if err := w.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWhatDependsOnTimeDoesNotWaitForAChecksRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		s := rare(check, reg)
		s.Backend.Weight, s.WarmUp = service.KnownInt(100), 30*time.Second
		w := run(t, Config{Services: []Service{s}})
		after(18 * time.Second)
		reg.weighs(t, "web", 36)
		after(20 * time.Second)
		reg.weighs(t, "web", 100)
		if err := w.apply(Change{Do: TakeDown, Services: []string{"web"}, For: 5 * time.Second}); err == nil {
			t.Error("saved without a state_file")
		}
		reg.want(t, "web up", "web down")
		after(8 * time.Second)
		reg.want(t, "web up", "web down", "web up")
		if check.count() != 1 {
			t.Fatalf("checked %d times", check.count())
		}
		_ = w.stop()
	})
}
