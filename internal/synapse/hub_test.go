package synapse

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func TestFirstSnapshotWaitsForEveryWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		_, stop := start(t, Config{
			Services: []Definition{define("a", a, Policy{}), define("b", b, Policy{})},
			Outputs:  []service.Output{out}, StartDeadline: 5 * time.Second,
		})
		defer stop()
		a.words <- update(backends(2)...)
		synctest.Wait()
		out.none(t)
		b.words <- update(backends(1)...)
		synctest.Wait()
		s := out.last(t)
		if len(s.Services) != 2 || s.Services[0].Name != "a" || s.Services[1].Backends.Len() != 1 {
			t.Errorf("first snapshot: %+v", s)
		}
	})
}

func TestSilentWatcherGetsLastKnownThenDefaultsThenUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newRecorder()
		known := define("known", newScripted(), Policy{DefaultServers: backends(1)})
		known.LastKnown = func() Known { return Known{Backends: service.SetOf(backends(3)...)} }
		_, stop := start(t, Config{
			Services: []Definition{known, define("defaults", newScripted(), Policy{DefaultServers: backends(1)}), define("nothing", newScripted(), Policy{})},
			Outputs:  []service.Output{out}, StartDeadline: 5 * time.Second,
		})
		defer stop()
		<-time.After(5*time.Second - 1)
		synctest.Wait()
		out.none(t)
		<-time.After(1)
		synctest.Wait()
		var got []string
		for _, s := range out.last(t).Services {
			got = append(got, s.Name+" "+string(s.Origin)+" "+string(rune('0'+s.Backends.Len())))
		}
		want := []string{"known last-known 3", "defaults defaults 1", "nothing unknown 0"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestOnlyTheChangedServiceGetsANewValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		hub, stop := start(t, Config{
			Services: []Definition{define("a", a, Policy{}), define("b", b, Policy{})}, Outputs: []service.Output{out},
			StartDeadline: time.Second,
		})
		defer stop()
		a.words <- update(backends(2)...)
		b.words <- update(backends(2)...)
		synctest.Wait()
		first := out.last(t)
		a.words <- update(backends(2)...) // nothing new
		synctest.Wait()
		out.none(t)
		a.words <- update(backends(3)...)
		synctest.Wait()
		second := out.last(t)
		if first.Services[0] == second.Services[0] || first.Services[1] != second.Services[1] {
			t.Error("want a new value for service a and the same pointer for b")
		}
		if second.Services[0].Rev != second.Rev || hub.Snapshot().Rev != second.Rev {
			t.Errorf("revisions: service %d, snapshot %d, hub %d", second.Services[0].Rev, second.Rev, hub.Snapshot().Rev)
		}
	})
}

func TestFailingAndPanickingWatcherKeepsItsBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, out := newScripted(), newRecorder()
		_, stop := start(t, Config{Services: []Definition{define("a", w, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		w.words <- update(backends(2)...)
		synctest.Wait()
		out.last(t)
		w.fails <- errDown
		w.fails <- nil // a panic in the second run
		<-time.After(time.Hour)
		synctest.Wait()
		out.none(t)
		w.words <- update(backends(3)...)
		synctest.Wait()
		if n := out.last(t).Services[0].Backends.Len(); n != 3 {
			t.Errorf("%d backends after the watcher came back, want 3", n)
		}
	})
}

func TestMassRemovalNeedsASecondRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, out := newScripted(), newRecorder()
		_, stop := start(t, Config{
			Services: []Definition{define("a", w, Policy{RemovalGuard: true})}, Outputs: []service.Output{out}, StartDeadline: time.Second,
		})
		defer stop()
		w.words <- update(backends(8)...)
		synctest.Wait()
		out.last(t)

		w.holds <- update(backends(8)...) // the registry was only half up: the second read is whole again
		w.words <- update(backends(3)...)
		synctest.Wait()
		out.none(t)

		w.holds <- update(backends(3)...) // this time it is true
		doubted := update(backends(3)...)
		doubted.Noticed = time.Now()
		w.words <- doubted
		synctest.Wait()
		got := out.last(t).Services[0]
		if n := got.Backends.Len(); n != 3 {
			t.Errorf("%d backends after a confirmed removal, want 3", n)
		}
		if !got.Noticed.Equal(doubted.Noticed) { // the second read follows from the same event
			t.Errorf("the removal was noticed at %v, and not at %v", got.Noticed, doubted.Noticed)
		}
	})
}

func TestMassRemovalIsNotBelievedWhenTheSecondReadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, out := newScripted(), newRecorder()
		_, stop := start(t, Config{
			Services: []Definition{define("a", w, Policy{RemovalGuard: true})}, Outputs: []service.Output{out}, StartDeadline: time.Second,
		})
		defer stop()
		w.words <- update(backends(8)...)
		synctest.Wait()
		out.last(t)
		w.words <- update(backends(1)...)
		synctest.Wait()
		w.fails <- errDown
		<-time.After(time.Hour)
		synctest.Wait()
		out.none(t)
	})
}

func TestOutputIsRetriedWithTheNewestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, out := newScripted(), newRecorder()
		for range 3 {
			out.fail <- errDown
		}
		_, stop := start(t, Config{Services: []Definition{define("a", w, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		w.words <- update(backends(2)...)
		synctest.Wait()
		out.none(t)
		w.words <- update(backends(3)...)
		synctest.Wait()
		out.none(t)
		<-time.After(time.Minute)
		synctest.Wait()
		if n := out.last(t).Services[0].Backends.Len(); n != 3 {
			t.Errorf("%d backends, want the 3 of the newest snapshot", n)
		}
	})
}

func TestOutputIsCalledAgainWhenItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, out := newScripted(), newRecorder()
		out.again = time.Second
		_, stop := start(t, Config{Services: []Definition{define("a", w, Policy{})}, Outputs: []service.Output{out}, StartDeadline: time.Second})
		defer stop()
		w.words <- update(backends(2)...)
		synctest.Wait()
		first := out.last(t)
		<-time.After(10 * time.Second)
		synctest.Wait()
		if got := len(out.seen); got != 10 {
			t.Errorf("called %d times in 10 s, want 10", got)
		}
		if s := out.last(t); s.Rev != first.Rev {
			t.Errorf("revision %d, want %d: nothing changed", s.Rev, first.Rev)
		}
	})
}
