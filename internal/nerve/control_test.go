package nerve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOperatorTakesOutAndPutsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg := &fakeCheck{}, &fakeRegistry{}
		w := run(t, Config{Services: []Service{weighty(svc("web", "", check, reg), 10), svc("db", "", check, reg)}, StateFile: filepath.Join(t.TempDir(), "state")})
		after(time.Second)
		if err := w.apply(Change{Do: TakeDown, Services: []string{"web"}, Reason: "disk swap", By: "ann"}); err != nil {
			t.Fatal(err)
		}
		if reg.holds["web"] || !reg.holds["db"] { // no time has passed
			t.Errorf("the registry holds %v", reg.holds)
		}
		if got := reg.last["web"].Reason; got != "taken out: disk swap" {
			t.Errorf("the registry is told %q", got)
		}
		st := w.status("web")
		if st.State != Out || st.Reason != "disk swap" || st.Registered || st.Weight != nil || st.Checks[0].State != Up || !st.Reporters[0].Current {
			t.Errorf("the status is %+v", st)
		}
		// Out is out, whatever else is ordered.
		if err := w.apply(Change{Do: SetWeight, Services: []string{"web"}, Weight: 3}); err != nil {
			t.Fatal(err)
		}
		after(time.Second)
		if reg.holds["web"] {
			t.Error("registered although taken out")
		}
		if err := w.apply(Change{Do: BringUp, Services: []string{"web"}}); err != nil {
			t.Fatal(err)
		}
		reg.weighs(t, "web", 3)
		if err := w.apply(Change{Do: ResetWeight, Services: []string{"web"}}); err != nil {
			t.Fatal(err)
		}
		reg.weighs(t, "web", 10)
		if st := w.status("web"); st.Order != nil || st.State != Up {
			t.Errorf("the status is %+v", st)
		}
		// All at once, and back.
		if err := w.apply(Change{Do: TakeDown}); err != nil {
			t.Fatal(err)
		}
		reg.counts(t, 0)
		if err := w.apply(Change{Do: BringUp}); err != nil {
			t.Fatal(err)
		}
		reg.counts(t, 2)
		_ = w.stop()
	})
}

func TestOrdersExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, reg, path := &fakeCheck{}, &fakeRegistry{}, filepath.Join(t.TempDir(), "state")
		w := run(t, Config{Services: []Service{weighty(svc("web", "", check, reg), 10)}, StateFile: path})
		after(time.Second)
		_ = w.apply(Change{Do: SetWeight, Weight: 0, For: time.Minute})
		reg.weighs(t, "web", 0)
		_ = w.apply(Change{Do: TakeDown, For: 30 * time.Second})
		after(29 * time.Second)
		reg.counts(t, 0)
		after(1500 * time.Millisecond)
		reg.weighs(t, "web", 0)
		after(30 * time.Second)
		reg.weighs(t, "web", 10)
		after(heartbeatEvery)
		if w.log.count("order has expired") != 2 {
			t.Error("nobody says so")
		}
		if data, err := os.ReadFile(path); err != nil || strings.Contains(string(data), "web") {
			t.Errorf("%v, the file holds %s", err, data)
		}
		_ = w.stop()
	})
}

// What was ordered survives a restart, also for a service that is not
// configured at the moment.
func TestOrdersSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check, path := &fakeCheck{}, filepath.Join(t.TempDir(), "state")
		start := func(names ...string) (*world, *fakeRegistry) {
			reg := &fakeRegistry{}
			c := Config{StateFile: path}
			for _, name := range names {
				c.Services = append(c.Services, weighty(drainable(name, check, reg, nil, nil), 10))
			}
			return run(t, c), reg
		}
		w, _ := start("web", "db", "app")
		after(time.Second)
		for _, c := range []Change{
			{Do: TakeDown, Services: []string{"web"}, For: time.Hour, Reason: "r", By: "b"},
			{Do: SetWeight, Services: []string{"db"}, Weight: 3},
			{Do: StartDrain, Services: []string{"app"}},
		} {
			if err := w.apply(c); err != nil {
				t.Fatal(err)
			}
		}
		before := w.status("web").Order.Out
		if st := w.status("web"); st.State != Out || !st.Since.Equal(before.Since) {
			t.Errorf("%s since %v, ordered at %v", st.State, st.Since, before.Since)
		}
		_ = w.stop() // app still drains
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, mode %v", err, info.Mode())
		}

		w, reg := start("db")
		after(time.Second)
		reg.weighs(t, "db", 3)
		w.configs.Put(Config{StateFile: path, Services: []Service{svc("web", "", check, reg), svc("app", "", check, reg)}})
		after(time.Second)
		if reg.holds["web"] || reg.holds["app"] {
			t.Errorf("the registry holds %v", reg.holds)
		}
		st := w.status("web")
		if o := st.Order.Out; !o.Since.Equal(before.Since) || !o.Until.Equal(before.Until) || o.Reason != "r" || o.By != "b" {
			t.Errorf("the order was %+v and is %+v", before, o)
		}
		if st := w.status("app"); st.State != Drained {
			t.Errorf("the status is %+v", st)
		}
		after(time.Hour)
		if !reg.holds["web"] || reg.holds["app"] {
			t.Errorf("the registry holds %v", reg.holds)
		}
		if err := w.apply(Change{Do: BringUp, Services: []string{"app"}}); err != nil {
			t.Fatal(err)
		}
		_ = w.stop()

		w, reg = start("app")
		after(time.Second)
		reg.weighs(t, "app", 10)
		_ = w.stop()
	})
}

func TestWrongOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &fakeRegistry{}
		w := run(t, Config{Services: []Service{svc("web", "", nil, reg)}})
		after(time.Second)
		for _, c := range []struct {
			change Change
			want   string
		}{
			{Change{Do: TakeDown, Services: []string{"web", "wbe", "x"}}, "no such service: wbe, x"},
			{Change{Do: SetWeight, Services: []string{"web"}, Weight: 257}, "want 0 to 256"},
			{Change{Do: SetWeight, Services: []string{"web"}, Weight: -1}, "want 0 to 256"},
			{Change{Do: "dance", Services: []string{"web"}}, `unknown word "dance"`},
		} {
			if err := w.apply(c.change); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", c.change, err, c.want)
			}
		}
		if _, err := w.control.Status(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
			t.Errorf("status of an unknown service: %v", err)
		}
		reg.want(t, "web up")
		_ = w.stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.control.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("status after the end: %v", err)
		}
	})
}

// A state file that cannot be read does not keep nerve from its work, and is
// put aside. One that cannot be written does not keep an order from being
// followed.
func TestBadStateFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, reg := t.TempDir(), &fakeRegistry{}
		path := filepath.Join(dir, "sub", "state")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"version":1,"services":{"web":`), 0o600); err != nil {
			t.Fatal(err)
		}
		w := run(t, Config{Services: []Service{svc("web", "", nil, reg)}, StateFile: path})
		after(time.Second)
		reg.want(t, "web up")
		if _, err := os.Stat(path + ".bad"); err != nil || w.log.count("is not known") != 1 {
			t.Errorf("the bad file: %v", err)
		}
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		if err := w.apply(Change{Do: TakeDown}); !errors.Is(err, ErrNotSaved) {
			t.Errorf("an order that cannot be saved: %v", err)
		}
		reg.want(t, "web up", "web down")
		_ = w.stop()
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"services":{"web":{"out":{"drain":true,"since":"2026-01-01T00:00:00Z","until":"2026-01-01T00:00:00Z"},"weight":{"value":3}}}}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		orders, err := parseState(data, time.Now())
		if err != nil {
			return
		}
		for name, o := range orders {
			if o.empty() || o.draining() || o.Weight != nil && (o.Weight.Value < 0 || o.Weight.Value > maxWeight) {
				t.Errorf("%s: %v", name, o)
			}
			_ = o.String()
		}
	})
}
