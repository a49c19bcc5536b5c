package nerve

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// What cannot be built yet is seen, and can be ordered about.
func TestPendingServicesAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, path := &fakeRegistry{}, filepath.Join(t.TempDir(), "state")
		web := svc("web", "", nil, reg)
		c := Config{Services: []Service{web}, StateFile: path, Pending: []Pending{
			{Service: "cloud", Host: "${ec2:local-ipv4}", Port: 80, For: "EC2's metadata"},
			{Service: "web", For: "the labels"},
		}}
		w := run(t, c)
		after(time.Second)
		list := w.statuses()
		if len(list) != 2 {
			t.Fatalf("%+v", list)
		}
		cloud, running := list[0], list[1]
		if cloud.State != Waiting || cloud.Reason != "waits for EC2's metadata" || cloud.Port != 80 || cloud.Host == "" || time.Since(cloud.Since) > 2*time.Second {
			t.Errorf("%+v", cloud)
		}
		if running.State != Up || running.WaitsFor != "the labels" {
			t.Errorf("%+v", running)
		}
		if err := w.apply(Change{Do: TakeDown, Reason: "later"}); err != nil { // all
			t.Fatal(err)
		}
		if st := w.status("cloud"); st.State != Waiting || st.Order == nil {
			t.Errorf("%+v", st)
		}
		c.Services, c.Pending = append(c.Services, svc("cloud", "", nil, reg)), nil
		w.configs.Put(c)
		after(2 * time.Second)
		reg.want(t, "web up", "web down", "cloud down")
		if st := w.status("cloud"); st.State != Out || st.WaitsFor != "" {
			t.Errorf("%+v", st)
		}
		_ = w.stop()
	})
}

// An order for a service that is not configured stays in sight until it is
// lifted.
func TestOrdersOfOthersAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, path := &fakeRegistry{}, filepath.Join(t.TempDir(), "state")
		w := run(t, Config{Services: []Service{svc("web", "", nil, reg)}, StateFile: path})
		if err := w.apply(Change{Do: TakeDown, Services: []string{"web"}, Reason: "disk swap"}); err != nil {
			t.Fatal(err)
		}
		w.configs.Put(Config{StateFile: path, Services: []Service{svc("db", "", nil, reg)}})
		after(time.Second)
		for _, st := range []Status{w.statuses()[1], w.status("web")} {
			if st.State != NotConfigured || st.Order == nil || st.Reason != "disk swap" || st.Registered {
				t.Errorf("%+v", st)
			}
		}
		if err := w.apply(Change{Do: BringUp}); err != nil { // all that are configured
			t.Fatal(err)
		}
		list, err := w.control.Apply(t.Context(), Change{Do: BringUp, Services: []string{"web"}})
		if err != nil || len(list) != 1 || list[0].State != NotConfigured || list[0].Order != nil {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := w.control.Status(t.Context(), "web"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if n := len(w.statuses()); n != 1 {
			t.Errorf("%d services", n)
		}
		_ = w.stop()
	})
}
