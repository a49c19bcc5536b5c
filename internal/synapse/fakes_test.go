package synapse

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a watcher that says what the test tells it to say. Each run
// first repeats what the registry holds, as a real one does.
type scripted struct {
	words chan service.Update
	fails chan error
	holds chan service.Update // what each new run reads at its start; nil = nothing is said
}

func newScripted() *scripted {
	return &scripted{words: make(chan service.Update), fails: make(chan error), holds: make(chan service.Update, 16)}
}

func (w *scripted) Run(ctx context.Context, publish func(service.Update)) error {
	select {
	case u := <-w.holds:
		publish(u)
	default:
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-w.words:
			publish(u)
		case err := <-w.fails:
			if err == nil {
				panic("scripted panic")
			}
			return err
		}
	}
}

// recorder is an output that keeps the snapshots it was given.
type recorder struct {
	name  string
	seen  chan service.Snapshot
	fail  chan error    // one per failing Apply
	again time.Duration // asked for after each Apply
}

func newRecorder() *recorder {
	return &recorder{name: "recorder", seen: make(chan service.Snapshot, 1024), fail: make(chan error, 16)}
}

func (r *recorder) Name() string { return r.name }

func (r *recorder) Apply(_ context.Context, s service.Snapshot) (time.Duration, error) {
	select {
	case err := <-r.fail:
		return 0, err
	default:
	}
	r.seen <- s
	return r.again, nil
}

// last drains what was seen and returns the newest.
func (r *recorder) last(t *testing.T) service.Snapshot {
	t.Helper()
	var s service.Snapshot
	found := false
	for {
		select {
		case s = <-r.seen:
			found = true
		default:
			if !found {
				t.Fatal("no snapshot was applied")
			}
			return s
		}
	}
}

func (r *recorder) none(t *testing.T) {
	t.Helper()
	select {
	case s := <-r.seen:
		t.Fatalf("snapshot %d was applied, none was due", s.Rev)
	default:
	}
}

// backends returns n backends 10.0.0.1:80, 10.0.0.2:80 …
func backends(n int) []service.Backend {
	var list []service.Backend
	for i := range n {
		list = append(list, service.Backend{Name: "b", Host: "10.0.0." + string(rune('1'+i)), Port: 80, ID: service.KnownInt(int64(i + 1))})
	}
	return list
}

func update(list ...service.Backend) service.Update {
	return service.Update{Backends: service.SetOf(list...)}
}

// start runs a hub for the test's time. The returned function ends it.
func start(t *testing.T, c Config) (*Hub, func()) {
	t.Helper()
	hub := New(c, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	return hub, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func define(name string, w service.Watcher, p Policy) Definition {
	return Definition{Name: name, Policy: p, Source: Source{Key: name, Watcher: w}}
}

func addresses(s *service.Service) []string {
	list := []string{}
	for b := range s.Backends.All() {
		list = append(list, b.Address())
	}
	return list
}

var errDown = errors.New("registry down")
