package synapse

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

// ill is a watcher that speaks once, and then is as its registry is.
type ill struct {
	spoken bool
	runs   int
	then   func(ctx context.Context, runs int) error
}

func (w *ill) Run(ctx context.Context, publish func(service.Update)) error {
	w.runs++
	if !w.spoken {
		w.spoken = true
		publish(update(backends(3)...))
	}
	return w.then(ctx, w.runs)
}

// Whatever a source does that is not an answer: for ten minutes nothing changes
// that is served, and the source is neither given up nor asked in a tight loop.
func TestTenMinutesWithoutTheSource(t *testing.T) {
	for name, then := range map[string]func(context.Context, int) error{
		"it dies":        func(context.Context, int) error { return errDown },
		"it stalls":      func(ctx context.Context, _ int) error { <-ctx.Done(); return nil },
		"it panics":      func(context.Context, int) error { panic("source") },
		"it just ends":   func(context.Context, int) error { return nil },
		"it stutters":    func(_ context.Context, n int) error { <-time.After(time.Duration(n) * time.Second); return errDown },
		"it times out":   func(context.Context, int) error { <-time.After(65 * time.Second); return context.DeadlineExceeded },
		"all in turn":    func(_ context.Context, n int) error { return []error{errDown, nil, errors.ErrUnsupported}[n%3] },
		"it is canceled": func(context.Context, int) error { return context.Canceled },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, healthy, out := &ill{then: then}, newScripted(), newRecorder()
				_, stop := start(t, Config{
					Services: []Definition{
						define("ill", w, Policy{RemovalGuard: true, DefaultServers: backends(1)}),
						define("healthy", healthy, Policy{}),
					},
					Outputs: []service.Output{out}, StartDeadline: 5 * time.Second,
				})
				defer stop()
				healthy.words <- update(backends(1)...)
				synctest.Wait()
				before := out.last(t)
				if got := addresses(before.Services[0]); len(got) != 3 {
					t.Fatalf("at the beginning: %v", got)
				}
				<-time.After(10 * time.Minute)
				synctest.Wait()
				out.none(t)
				if w.runs > 60 {
					t.Errorf("%d runs in ten minutes", w.runs)
				}
				healthy.words <- update(backends(2)...) // the others go on
				synctest.Wait()
				after := out.last(t)
				if after.Services[0] != before.Services[0] || after.Services[1].Backends.Len() != 2 {
					t.Errorf("%v, %v", addresses(after.Services[0]), addresses(after.Services[1]))
				}
			})
		})
	}
}
