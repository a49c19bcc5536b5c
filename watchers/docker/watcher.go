package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Watcher follows the containers of one service. Make it with New. One
// goroutine at a time may call Run; the engines' state is that goroutine's.
type Watcher struct {
	log      *slog.Logger
	rule     *rule
	pace     pace
	patience time.Duration // how long all engines may fail before Run says so
	engines  []engine
	pulse    service.Pulse
}

// Condition tells how fresh the watcher's word is.
func (w *Watcher) Condition() service.Condition { return w.pulse.Condition() }

// engine is what Run knows of one server.
type engine struct {
	server Server
	dial   dialer
	slot   *mailbox.Latest[word] // of this Run

	entries []entry // what it said last, in this Run or an earlier one
	known   bool    // it has said something, ever
	spoken  bool    // it has answered or failed in this Run
	err     error   // of its last word
}

// place names the engine for a person.
func (e *engine) place() string { return cmp.Or(e.server.Name, e.server.Where()) }

// Run follows the engines until ctx ends, or until none of them could be read
// for too long.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	wake := mailbox.NewWake()
	for i := range w.engines {
		e := &w.engines[i]
		e.slot, e.spoken, e.err = mailbox.New[word](wake), false, nil
		f := w.newFollower(e)
		group.Go(func() { f.Run(ctx, e.slot) })
	}
	late := supervise.NewPatience(w.patience)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late.Over():
			if err := w.fault(); err != nil {
				return fmt.Errorf("no answer for %v: %w", w.patience, err)
			}
			late.Observe(false)
		case <-wake:
			if noticed, heard := w.hear(); heard && w.speakable() {
				u := w.update()
				u.Noticed = noticed
				publish(u)
			}
			late.Observe(w.fault() != nil)
		}
	}
}

// hear takes what the followers have said, and reports whether it was
// anything, and when the first event came that it follows from.
func (w *Watcher) hear() (noticed time.Time, heard bool) {
	for i := range w.engines {
		e := &w.engines[i]
		said, ok := e.slot.Take()
		if !ok {
			continue
		}
		heard, e.spoken, e.err = true, true, said.Err
		w.pulse.Tell(e.place(), said.Err)
		if said.Err == nil {
			e.entries, e.known = said.Value, true
		}
		noticed = service.FirstNoticed(noticed, said.Noticed)
	}
	return noticed, heard
}

// speakable reports whether what is known can be published: every engine has
// answered or failed, one at least has answered, and an engine that nobody has
// ever heard is not all that could make the set more than empty.
func (w *Watcher) speakable() bool {
	answered, allKnown, some := false, true, false
	for i := range w.engines {
		e := &w.engines[i]
		if !e.spoken {
			return false
		}
		answered = answered || e.err == nil
		allKnown = allKnown && e.known
		some = some || slices.ContainsFunc(e.entries, func(e entry) bool { return e.reason == "" })
	}
	return answered && (allKnown || some)
}

// fault returns why nothing is known at present; nil as long as one engine can
// be read.
func (w *Watcher) fault() error {
	var all []error
	for i := range w.engines {
		e := &w.engines[i]
		if e.spoken && e.err == nil {
			return nil
		}
		if e.spoken {
			all = append(all, e.err)
		} else {
			all = append(all, fmt.Errorf("docker server %s has not answered yet", e.server))
		}
	}
	return errors.Join(all...)
}

// update puts the engines' words together, in an order that does not depend on
// theirs.
func (w *Watcher) update() service.Update {
	var b service.Builder
	for i := range w.engines {
		e := &w.engines[i]
		if !e.known {
			b.Reject(e.place(), "was never read: "+e.err.Error())
		}
		sorted := slices.SortedFunc(slices.Values(e.entries), func(a, b entry) int {
			return cmp.Or(cmp.Compare(a.backend.Host, b.backend.Host), cmp.Compare(a.backend.Port, b.backend.Port), cmp.Compare(a.name, b.name))
		})
		for _, one := range sorted {
			if one.reason != "" {
				b.Reject(one.name, one.reason)
			} else {
				b.Add(one.name, one.backend)
			}
		}
	}
	return b.Update()
}
