// Package reportertest is the contract that every reporter signs, as a test.
//
//	func TestContract(t *testing.T) {
//		reportertest.Run(t, func(t *testing.T) reportertest.Registry {
//			dir := t.TempDir()
//			return reportertest.Registry{
//				New:    func() service.Reporter { … },
//				Read:   func() []service.Backend { … },
//				Vanish: func() { … },
//				…
//			}
//		})
//	}
package reportertest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/service"
	"smartstack/test/goroutines"
	"smartstack/test/servers"
)

// Limit is how long one call may take when its registry answers, and how soon
// a call must be back when its context has ended.
const Limit = time.Second

// Silent is the case that needs Registry.Hang.
const Silent Case = "a silent registry is an error in time"

// Case names a case that not every registry can have.
type Case string

// Registry is one fresh, empty place for registrations of one service. All of
// it is wanted, but for what a case needs that is left out of Run.
type Registry struct {
	// New returns a reporter for this place. Each call stands for another
	// process, or for the new loop of a reload.
	New func() service.Reporter
	// Read returns what consumers see now.
	Read func() []service.Backend
	// Vanish removes all registrations behind the reporters' backs.
	Vanish func()
	// Break makes the registry unreachable until repair is called.
	Break func() (repair func())
	// Hang makes the registry silent, as Break does, but so that calls get no
	// answer at all.
	Hang func() (resume func())
	// Dead returns a reporter whose registry was never there.
	Dead func() service.Reporter
}

// Web is the backend that the suite registers: every field that goes into a
// registration is set.
var Web = service.Backend{
	Name: "i-1", Host: "10.0.0.1", Port: 8080, Weight: service.KnownInt(7),
	ServerOptions: "check inter 2s", Labels: `{"az":"a","n":{"deep":[1,2]}}`,
}

// Run runs every case on a registry of its own, without those that this kind of
// registry cannot have.
func Run(t *testing.T, open func(t *testing.T) Registry, without ...Case) {
	for _, c := range []struct {
		name Case
		run  func(t *testing.T, r Registry)
	}{
		{"New does no I/O", newDoesNoIO},
		{"up registers once", upRegistersOnce},
		{"down withdraws", downWithdraws},
		{"Close withdraws", closeWithdraws},
		{"Close of an unused reporter is fine", closeUnused},
		{"what vanished comes back", vanished},
		{"a changed registration replaces the old", changed},
		{"Close leaves the successor's registration", successor},
		{"an unreachable registry is an error, then repaired", broken},
		{Silent, silent},
		{"an ended context ends the call", canceled},
		{"no goroutine stays", noGoroutine},
	} {
		if !slices.Contains(without, c.name) {
			t.Run(string(c.name), func(t *testing.T) { c.run(t, open(t)) })
		}
	}
}

var (
	up   = service.Registration{Up: true, Backend: Web}
	down = service.Registration{Backend: Web}
)

func newDoesNoIO(t *testing.T, r Registry) {
	if started := goroutines.Started(func() { r.Dead() }); len(started) > 0 {
		t.Errorf("New started goroutines, and a reporter that is only checked is never closed:\n%s", strings.Join(started, "\n\n"))
	}
	wantBackends(t, r)
}

func upRegistersOnce(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	for range 3 {
		report(t, rep, up)
		wantBackends(t, r, Web)
	}
}

func downWithdraws(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	report(t, rep, down)
	wantBackends(t, r)
	for range 2 {
		report(t, rep, up)
		wantBackends(t, r, Web)
		report(t, rep, down)
		wantBackends(t, r)
		report(t, rep, down)
		wantBackends(t, r)
	}
}

func closeWithdraws(t *testing.T, r Registry) {
	rep := r.New()
	report(t, rep, up)
	closed(t, rep)
	wantBackends(t, r)
}

func closeUnused(t *testing.T, r Registry) {
	closed(t, r.New())
	rep := r.New()
	report(t, rep, down)
	closed(t, rep)
}

func vanished(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	wantHolds(t, rep, false)
	report(t, rep, up)
	wantHolds(t, rep, true)
	r.Vanish()
	eventuallyReports(t, r, rep, up, Web)
	wantHolds(t, rep, true)
	report(t, rep, down)
	wantHolds(t, rep, false)
}

// wantHolds asks those that can tell whether a registration is theirs.
func wantHolds(t *testing.T, rep service.Reporter, want bool) {
	t.Helper()
	if h, ok := rep.(interface{ Holds() bool }); ok && h.Holds() != want {
		t.Errorf("holds a registration: %v, want %v", !want, want)
	}
}

func changed(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	report(t, rep, up)
	heavier := up
	heavier.Backend.Weight = service.KnownInt(9)
	report(t, rep, heavier)
	wantBackends(t, r, heavier.Backend)
}

// successor is a reload: the new reporter's first report comes after the old
// one's last, and the old one is closed after that.
func successor(t *testing.T, r Registry) {
	for _, weight := range []int64{Web.Weight.Value, 9} {
		old, next := r.New(), r.New()
		report(t, old, up)
		again := up
		again.Backend.Weight = service.KnownInt(weight)
		report(t, next, again)
		closed(t, old)
		wantBackends(t, r, again.Backend)
		report(t, next, again)
		wantBackends(t, r, again.Backend)
		closed(t, next)
		wantBackends(t, r)
	}
}

func broken(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	repair := r.Break()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	if err := rep.Report(ctx, up); err == nil {
		t.Error("Report to a broken registry said that all is well")
	}
	repair()
	eventuallyReports(t, r, rep, up, Web)
}

func silent(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	report(t, rep, down)
	resume := r.Hang()
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	within(t, "Report", func() {
		if err := rep.Report(ctx, up); err == nil {
			t.Error("Report to a silent registry said that all is well")
		}
	})
	within(t, "Close", func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_ = rep.Close(ctx) // whether there was something to withdraw is its own business
	})
}

func canceled(t *testing.T, r Registry) {
	rep := r.New()
	defer closed(t, rep)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "Report", func() { _ = rep.Report(ctx, up) })
	eventuallyReports(t, r, rep, up, Web)
}

func noGoroutine(t *testing.T, r Registry) {
	before := goleak.IgnoreCurrent()
	rep := r.New()
	report(t, rep, up)
	closed(t, rep)
	goleak.VerifyNone(t, before)
}

func report(t *testing.T, rep service.Reporter, want service.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	if err := rep.Report(ctx, want); err != nil {
		t.Fatalf("Report(up=%v): %v", want.Up, err)
	}
}

// eventuallyReports repeats rounds, as the loop does, until the registry holds
// want.
func eventuallyReports(t *testing.T, r Registry, rep service.Reporter, reg service.Registration, want ...service.Backend) {
	t.Helper()
	var last error
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(t.Context(), Limit)
		last = rep.Report(ctx, reg)
		cancel()
		if last == nil && same(r.Read(), want) {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("after %v of rounds the registry holds %v, want %v; last error: %v", servers.Deadline, r.Read(), want, last)
}

func closed(t *testing.T, rep service.Reporter) {
	t.Helper()
	// The test's own context may have ended: Close is what still runs then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), servers.Deadline)
	defer cancel()
	if err := rep.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func within(t *testing.T, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); call() }()
	select {
	case <-done:
	case <-time.After(servers.Deadline):
		t.Fatalf("%s did not come back", what)
	}
}

// wantBackends waits until the registry shows want: consumers may lag.
func wantBackends(t *testing.T, r Registry, want ...service.Backend) {
	t.Helper()
	var got []service.Backend
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		if got = r.Read(); same(got, want) {
			return
		}
	}
	t.Fatalf("registry (-want +got):\n%s", cmp.Diff(want, got))
}

// same compares what a registration carries: ids belong to the registry.
func same(got, want []service.Backend) bool {
	got = slices.Clone(got)
	for i := range got {
		got[i].ID = service.Int{}
	}
	return service.SetOf(got...).Equal(service.SetOf(want...)) && len(got) == len(want)
}
