package synapse

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func TestConfigureKeepsEqualSourcesAndTheirBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, out := newScripted(), newRecorder()
		hub, stop := start(t, Config{Services: []Definition{define("a", a, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		out.last(t)

		next := define("a", newScripted(), Policy{PortOverride: 8080}) // same key: this watcher must never run
		if err := hub.Configure(t.Context(), Config{Services: []Definition{next}, Outputs: []service.Output{out}, StartDeadline: time.Second}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := cmp.Diff([]string{"10.0.0.1:8080", "10.0.0.2:8080"}, addresses(out.last(t).Services[0])); d != "" {
			t.Error(d)
		}
		a.words <- update(backends(1)...)
		synctest.Wait()
		if d := cmp.Diff([]string{"10.0.0.1:8080"}, addresses(out.last(t).Services[0])); d != "" {
			t.Error(d)
		}
	})
}

func TestChangedSourceTakesOverWhenItHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		hub, stop := start(t, Config{Services: []Definition{define("a", a, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		out.last(t)

		changed := Definition{Name: "a", Source: Source{Key: "elsewhere", Watcher: b}}
		if err := hub.Configure(t.Context(), Config{Services: []Definition{changed}, Outputs: []service.Output{out}}); err != nil {
			t.Fatal(err)
		}
		a.words <- update(backends(3)...) // the old one still counts
		synctest.Wait()
		if n := out.last(t).Services[0].Backends.Len(); n != 3 {
			t.Errorf("%d backends while the new source is silent, want 3", n)
		}
		b.words <- update(backends(5)...)
		synctest.Wait()
		if n := out.last(t).Services[0].Backends.Len(); n != 5 {
			t.Errorf("%d backends from the new source, want 5", n)
		}
		select {
		case a.words <- update():
			t.Error("the old watcher still runs")
		default:
		}
	})
}

func TestSilentNewSourceTakesOverAfterTheLimitAndKeepsTheBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		hub, stop := start(t, Config{Services: []Definition{define("a", a, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		changed := Definition{Name: "a", Source: Source{Key: "elsewhere", Watcher: b}}
		if err := hub.Configure(t.Context(), Config{Services: []Definition{changed}, Outputs: []service.Output{out}}); err != nil {
			t.Fatal(err)
		}
		<-time.After(handoverLimit)
		synctest.Wait()
		if n := out.last(t).Services[0].Backends.Len(); n != 2 {
			t.Errorf("%d backends, want the 2 of the old source", n)
		}
		select {
		case a.words <- update():
			t.Error("the old watcher still runs")
		default:
		}
	})
}

func TestAddedServiceJoinsWhenSettledAndRemovedOneLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		hub, stop := start(t, Config{Services: []Definition{define("a", a, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		out.last(t)
		both := Config{Services: []Definition{define("b", b, Policy{}), define("a", a, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second}
		if err := hub.Configure(t.Context(), both); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := out.last(t); len(s.Services) != 1 {
			t.Errorf("%d services while the new one is silent, want 1", len(s.Services))
		}
		b.words <- update(backends(1)...)
		synctest.Wait()
		if s := out.last(t); len(s.Services) != 2 || s.Services[0].Name != "b" {
			t.Errorf("want b, a in the order of the file, got %+v", s.Services)
		}
		if err := hub.Configure(t.Context(), Config{Services: []Definition{define("b", b, Policy{})}, Outputs: []service.Output{out}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := out.last(t); len(s.Services) != 1 || s.Services[0].Name != "b" {
			t.Errorf("want b alone, got %+v", s.Services)
		}
	})
}

func TestReplacedOutputStartsWhenTheOldOneHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, old, fresh := newScripted(), newRecorder(), newRecorder()
		services := []Definition{define("a", a, Policy{})}
		hub, stop := start(t, Config{Services: services, Outputs: []service.Output{old}, StartDeadline: time.Second})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		old.last(t)
		if err := hub.Configure(t.Context(), Config{Services: services, Outputs: []service.Output{fresh}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := fresh.last(t).Services[0].Backends.Len(); n != 2 {
			t.Errorf("%d backends, want 2", n)
		}
		old.none(t)
	})
}
