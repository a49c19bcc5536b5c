// Package watchertest is the contract that every watcher signs, as a test.
//
//	func TestContract(t *testing.T) {
//		watchertest.Run(t, func(t *testing.T) watchertest.Registry {
//			dir := t.TempDir()
//			return watchertest.Registry{
//				New: func() service.Watcher { … },
//				Set: func(backends ...service.Backend) { … },
//				…
//			}
//		})
//	}
package watchertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/service"
	"smartstack/test/goroutines"
	"smartstack/test/servers"
)

// Registry is one fresh, empty place that holds the backends of one service.
// All of it is wanted, but for Want.
type Registry struct {
	// New returns a watcher of this place.
	New func() service.Watcher
	// Set makes the registry hold exactly these backends; none means that the
	// service is known and empty.
	Set func(backends ...service.Backend)
	// SetBad adds entries that must be left out.
	SetBad func()
	// Break makes the registry unreadable until repair is called.
	Break func() (repair func())
	// Silent returns a watcher whose registry accepts and never answers, or
	// is not there at all.
	Silent func() service.Watcher
	// Want says what backends look like after the registry has held them;
	// nil means unchanged, but for the id, which is never compared.
	Want func(service.Backend) service.Backend
	// Tells says that the registry tells of changes, and that they are read then:
	// each word but the first says when it was told.
	Tells bool
}

// A, B and C are the backends that the suite puts into the registry.
var (
	A = service.Backend{Name: "a", Host: "10.0.0.1", Port: 8001}
	B = service.Backend{Name: "b", Host: "10.0.0.2", Port: 8002}
	C = service.Backend{Name: "c", Host: "10.0.0.3", Port: 8003}
)

// Run runs every case on a registry of its own.
func Run(t *testing.T, open func(t *testing.T) Registry) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, r Registry)
	}{
		{"New does no I/O", newDoesNoIO},
		{"says what is there, then what changes", follows},
		{"an honest empty answer is published", empty},
		{"bad entries are left out with a reason", bad},
		{"a failed read publishes nothing", failedRead},
		{"cancel ends Run, and its word", cancelEnds},
		{"a silent registry does not hold Run", silent},
		{"Run can be called again", again},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

func newDoesNoIO(t *testing.T, r Registry) {
	if started := goroutines.Started(func() { r.Silent() }); len(started) > 0 {
		t.Errorf("New started goroutines, and a watcher that is only checked is never stopped:\n%s", strings.Join(started, "\n\n"))
	}
}

func follows(t *testing.T, r Registry) {
	r.Set(A, B)
	w := start(t, r, r.New())
	w.want(t, A, B)
	before := time.Now()
	r.Set(A, B, C)
	w.want(t, A, B, C)
	if u, _ := w.last(); r.Tells && (u.Noticed.Before(before) || u.Noticed.After(time.Now())) {
		t.Errorf("the change was told at %v, and not since %v", u.Noticed, before)
	}
	r.Set(C)
	w.want(t, C)
	w.stop(t)
}

func empty(t *testing.T, r Registry) {
	r.Set()
	w := start(t, r, r.New())
	w.want(t)
	r.Set(A)
	w.want(t, A)
	r.Set()
	w.want(t)
	w.stop(t)
}

func bad(t *testing.T, r Registry) {
	r.Set(A)
	r.SetBad()
	w := start(t, r, r.New())
	w.want(t, A)
	servers.Eventually(t, func() error {
		u, ok := w.last()
		if !ok || u.RejectedTotal == 0 {
			return errors.New("nothing was rejected")
		}
		for _, rej := range u.Rejected {
			if rej.Entry == "" || rej.Reason == "" {
				return fmt.Errorf("rejection without entry or reason: %+v", rej)
			}
		}
		return nil
	})
	w.stop(t)
}

// failedRead: whatever happens while the registry is broken, nobody may hear
// that backends are gone.
func failedRead(t *testing.T, r Registry) {
	r.Set(A, B)
	w := start(t, r, r.New())
	w.want(t, A, B)
	repair := r.Break()
	w.neverEmpty(t)
	repair()
	r.Set(A, B, C)
	w.want(t, A, B, C)
	w.neverEmpty(t)
	w.stop(t)

	// And a first read that fails says nothing at all.
	repair = r.Break()
	defer repair()
	first := start(t, r, r.New())
	first.awaitFailureOrQuiet()
	if u, ok := first.last(); ok && u.Backends.Len() == 0 {
		t.Errorf("a registry that cannot be read was published as %d backends", u.Backends.Len())
	}
	first.stop(t)
}

func cancelEnds(t *testing.T, r Registry) {
	r.Set(A)
	before := goleak.IgnoreCurrent()
	w := start(t, r, r.New())
	w.want(t, A)
	w.stop(t)
	said := w.count()
	r.Set(A, B)
	if w.count() != said {
		t.Error("published after Run had returned")
	}
	goleak.VerifyNone(t, before)
}

func silent(t *testing.T, r Registry) {
	w := start(t, r, r.Silent())
	w.awaitFailureOrQuiet()
	if w.count() > 0 {
		t.Error("a registry that says nothing was published")
	}
	w.stop(t)
}

func again(t *testing.T, r Registry) {
	r.Set(A)
	one := r.New()
	w := start(t, r, one)
	w.want(t, A)
	w.stop(t)
	r.Set(A, B)
	w = start(t, r, one)
	w.want(t, A, B)
	w.stop(t)
}

// running is a watcher under a minimal supervisor: Run is called again after
// an error, as in the house.
type running struct {
	cancel context.CancelFunc
	done   chan struct{}
	failed chan struct{} // closed at the first error
	norm   func(service.Backend) service.Backend

	mu      sync.Mutex
	updates []service.Update
	err     error // Run's answer to the end of its context
}

func start(t *testing.T, r Registry, w service.Watcher) *running {
	ctx, cancel := context.WithCancel(t.Context())
	run := &running{cancel: cancel, done: make(chan struct{}), failed: make(chan struct{}), norm: r.Want}
	if run.norm == nil {
		run.norm = func(b service.Backend) service.Backend { return b }
	}
	t.Cleanup(func() { cancel(); <-run.done })
	go func() {
		defer close(run.done)
		for first := true; ; first = false {
			err := w.Run(ctx, run.publish)
			if ctx.Err() != nil {
				run.mu.Lock()
				run.err = err
				run.mu.Unlock()
				return
			}
			if err == nil {
				t.Error("Run returned nil while its context goes on")
				return
			}
			if first {
				t.Logf("Run: %v", err)
				close(run.failed)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return run
}

func (w *running) publish(u service.Update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.updates = append(w.updates, u)
}

func (w *running) last() (service.Update, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.updates) == 0 {
		return service.Update{}, false
	}
	return w.updates[len(w.updates)-1], true
}

func (w *running) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.updates)
}

// want waits until the newest word is exactly these backends.
func (w *running) want(t *testing.T, backends ...service.Backend) {
	t.Helper()
	for i := range backends {
		backends[i] = w.norm(backends[i])
	}
	var got []service.Backend
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		u, ok := w.last()
		got = got[:0]
		for b := range u.Backends.All() {
			b.ID = service.Int{}
			got = append(got, b)
		}
		if ok && service.SetOf(got...).Equal(service.SetOf(backends...)) {
			return
		}
	}
	t.Fatalf("published (-want +got):\n%s", cmp.Diff(backends, got))
}

// neverEmpty fails when any word so far said that nothing is there.
func (w *running) neverEmpty(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, u := range w.updates {
		if u.Backends.Len() == 0 {
			t.Errorf("update %d of %d is empty though the registry never was", i+1, len(w.updates))
		}
	}
}

// awaitFailureOrQuiet gives Run the time to say something wrong. A watcher may
// retry by itself rather than return, so silence for a moment is fine.
func (w *running) awaitFailureOrQuiet() {
	select {
	case <-w.failed:
	case <-time.After(300 * time.Millisecond):
	}
}

func (w *running) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	began := time.Now()
	select {
	case <-w.done:
	case <-time.After(servers.Deadline):
		t.Fatal("Run does not return after the end of its context")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Run took %v to return after the end of its context, want at most a second", took)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		t.Errorf("Run returned %v after the end of its context, want nil", w.err)
	}
}
