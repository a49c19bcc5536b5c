package marathon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Watcher follows one app. Make it with New.
type Watcher struct {
	pool       *marathonconn.Pool
	log        *slog.Logger
	known      func() service.Set // nil = nothing is
	target     marathonconn.Target
	query      marathonconn.Query
	pace       marathonconn.Pace
	rules      rules
	emptyGrace time.Duration
	goneAfter  time.Duration
	patience   time.Duration // how long there may be no good answer before Run says so

	// Run's. They outlive it, because a new Run may be the hub's question
	// whether the last answer was true.
	ran    bool
	memory *memory
	doubts doubts
	pulse  service.Pulse
}

// Condition tells how fresh the watcher's word is.
func (w *Watcher) Condition() service.Condition { return w.pulse.Condition() }

// Run follows the app until ctx ends, or until there was no good answer for
// too long.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	if !w.ran && w.known != nil {
		w.memory.recall(w.known(), w.rules.place.override, time.Now())
	}
	// After the first Run no answer will do that is older than this one.
	sub := w.pool.Subscribe(w.target, w.query, w.pace, w.ran)
	w.ran = true
	defer sub.Close()
	again := time.NewTimer(longest)
	defer again.Stop()
	late := supervise.NewPatience(w.patience)
	defer late.Stop()
	var said *service.Update
	var doubt error
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			sub.Refresh()
			continue
		case <-late.Over():
			if fault := firstOf(sub.Fault(), doubt); fault != nil {
				return fmt.Errorf("no good answer for %v: %w", w.patience, fault)
			}
			late.Observe(false)
		case <-sub.Wake():
		}
		if answer, ok := sub.Take(); ok {
			j := w.judge(answer, time.Now())
			if doubt = j.doubt; j.publish && (said == nil || !same(*said, j.update)) {
				if said != nil { // else it may be long known to others
					j.update.Noticed = answer.Noticed
				}
				said = &j.update
				publish(j.update)
			}
			again.Stop()
			if !j.again.IsZero() {
				again.Reset(time.Until(j.again))
			}
		}
		fault := firstOf(sub.Fault(), doubt)
		w.pulse.Tell("", fault)
		late.Observe(fault != nil)
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// same reports whether two updates say the same.
func same(a, b service.Update) bool {
	return a.Emptied == b.Emptied && a.Backends.Equal(b.Backends) && a.RejectedTotal == b.RejectedTotal && a.IdleTotal == b.IdleTotal &&
		slices.Equal(a.Rejected, b.Rejected) && slices.Equal(a.Idle, b.Idle)
}
