package synapse

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// The delays after a failed Apply, doubling, each within ±50 %. A new snapshot
// is tried at once.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second
)

// finishLimit is how long an Apply under way may go on after the end was asked
// for.
const finishLimit = 10 * time.Second

// runner keeps one output equal to the newest snapshot.
type runner struct {
	output    service.Output
	log       *slog.Logger
	statsd    *telemetry.Statsd
	wake      chan struct{}
	snapshots *mailbox.Latest[service.Snapshot]
	cancel    context.CancelFunc
	stopped   chan struct{}
}

// startRunner runs output until the hub ends or it is stopped, from the moment on
// at which every one of before has ended: a changed output takes over what its
// predecessor knew.
func (h *Hub) startRunner(output service.Output, before []*runner) *runner {
	ctx, cancel := context.WithCancel(h.ctx)
	wake := mailbox.NewWake()
	r := &runner{
		output: output, log: h.log.With("output", output.Name()), statsd: h.config.Statsd, wake: wake,
		snapshots: mailbox.New[service.Snapshot](wake), cancel: cancel, stopped: make(chan struct{}),
	}
	go func() {
		defer close(r.stopped)
		for _, b := range before {
			<-b.stopped
		}
		r.run(ctx)
	}()
	return r
}

func (r *runner) run(ctx context.Context) {
	var (
		snapshot service.Snapshot
		known    bool
		retry    = firstRetry
		timer    = time.NewTimer(time.Hour)
	)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			s, ok := r.snapshots.Take()
			if !ok {
				continue
			}
			snapshot, known, retry = s, true, firstRetry
		case <-timer.C:
			if !known {
				continue
			}
		}
		again, err := r.apply(ctx, snapshot)
		if err != nil {
			again = retry/2 + rand.N(retry)
			retry = min(2*retry, longestRetry)
			r.statsd.Count("synapse.config.update_failed", "config_name:"+r.output.Name())
			r.log.Error("the output could not be made equal to the snapshot: its last good state stays",
				"rev", snapshot.Rev, "err", err, "retry", again.Round(time.Millisecond))
		} else {
			retry = firstRetry
		}
		if again > 0 {
			timer.Reset(again)
		} else {
			timer.Stop()
		}
	}
}

// apply calls the output once. The end of ctx does not cut it short at once: a
// half-applied change is worse than a late exit.
func (r *runner) apply(ctx context.Context, s service.Snapshot) (again time.Duration, err error) {
	applying, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	unhook := context.AfterFunc(ctx, func() {
		select {
		case <-applying.Done():
		case <-time.After(finishLimit):
			cancel()
		}
	})
	defer unhook()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.output.Apply(applying, s)
}

// configureOutputs keeps the runners of outputs that stay, and replaces the
// rest.
func (h *Hub) configureOutputs(outputs []service.Output) {
	var next, gone []*runner
	for _, r := range h.runners {
		if !slices.Contains(outputs, r.output) {
			r.cancel()
			gone = append(gone, r)
		}
	}
	for _, o := range outputs {
		i := slices.IndexFunc(h.runners, func(r *runner) bool { return r.output == o })
		if i >= 0 {
			next = append(next, h.runners[i])
			continue
		}
		next = append(next, h.startRunner(o, gone))
	}
	for _, r := range gone {
		h.group.Go(func() { <-r.stopped })
	}
	h.runners = next
}
