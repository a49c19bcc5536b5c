package nerve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"smartstack/internal/atomicfile"
	"smartstack/internal/mailbox"
)

// state is the content of the state file.
type state struct {
	Version  int              `json:"version"`
	Services map[string]Order `json:"services"`
}

// maxState bounds the state file, in bytes.
const maxState = 16 << 20

// keeper writes the orders of operators into the state file, on a goroutine of
// its own: a disk that hangs holds up nothing else.
type keeper struct {
	path   string
	wake   chan struct{}
	slot   *mailbox.Latest[kept]
	newest uint64 // the runner's
	last   atomic.Pointer[written]
}

// kept is what is to be written.
type kept struct {
	rev  uint64
	data []byte
}

// written is what has been.
type written struct {
	rev   uint64
	err   error
	newer chan struct{} // closed when there is a newer one
}

// saved waits until something is on the disk, and says why it is not.
type saved func(context.Context) error

var errNoState = errors.New("there is no state_file")

func newKeeper(path string) *keeper {
	k := &keeper{path: path, wake: mailbox.NewWake()}
	k.slot = mailbox.New[kept](k.wake)
	k.last.Store(&written{newer: make(chan struct{})})
	return k
}

// run writes what there is to write until ctx ends, and what is left then.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-k.wake:
		}
		if s, ok := k.slot.Take(); ok {
			before := k.last.Load()
			k.last.Store(&written{rev: s.rev, err: writeState(k.path, s.data), newer: make(chan struct{})})
			close(before.newer)
		}
	}
}

// save writes the orders; only the runner calls it.
func (k *keeper) save(orders map[string]Order) saved {
	if k.path == "" {
		return func(context.Context) error { return errNoState }
	}
	data, err := json.MarshalIndent(state{Version: 1, Services: orders}, "", "  ")
	if err != nil {
		return func(context.Context) error { return err }
	}
	k.newest++
	rev := k.newest
	k.slot.Put(kept{rev, append(data, '\n')})
	return func(ctx context.Context) error {
		for {
			w := k.last.Load()
			if w.rev >= rev {
				return w.err
			}
			select {
			case <-w.newer:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func writeState(path string, data []byte) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("state_file: %w", err)
	}
	defer dir.Close()
	err = atomicfile.Write(dir, filepath.Base(path), data, 0o600, atomicfile.Options{Stage: ".nerve"})
	if err != nil {
		return fmt.Errorf("state_file: %w", err)
	}
	return nil
}

// readState returns the orders that an earlier process has left. now is the
// clock that they go by from here on.
func readState(path string, now time.Time) (map[string]Order, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("state_file: %w", err)
	case info.Size() > maxState:
		return nil, fmt.Errorf("state_file: %s has %d bytes, more than %d", path, info.Size(), maxState)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("state_file: %w", err)
	}
	return parseState(data, now)
}

func parseState(data []byte, now time.Time) (map[string]Order, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("state_file: %w", err)
	}
	if s.Version != 1 {
		return nil, fmt.Errorf("state_file: version %d, and only 1 is known", s.Version)
	}
	orders := make(map[string]Order, len(s.Services))
	for name, o := range s.Services {
		if o.Weight != nil && (o.Weight.Value < 0 || o.Weight.Value > maxWeight) {
			return nil, fmt.Errorf("state_file: service %s: weight %d is not from 0 to %d", name, o.Weight.Value, maxWeight)
		}
		if o = o.anchor(now).at(now); o.empty() {
			continue
		}
		if o.Out != nil && o.Out.Drain {
			out := *o.Out
			out.Drained = true // by the end of the earlier process, at the latest
			o.Out = &out
		}
		orders[name] = o
	}
	return orders, nil
}

// remember makes path the state file, and reads what is in it at the start.
func (r *runner) remember(path string) {
	switch {
	case r.keeper == nil:
		r.keep(path)
		if path == "" {
			return
		}
		orders, err := readState(path, time.Now())
		if err != nil {
			r.log.Error("what operators have ordered is not known; services are registered as their checks say", "err", err)
			if err := os.Rename(path, path+".bad"); err != nil {
				r.log.Error("cannot put the bad state_file aside", "err", err)
			}
			return
		}
		for name, o := range orders {
			r.orders[name] = o
			r.log.Warn("an operator's order is in force", "service", name, "order", o.String())
		}
	case r.keeper.path != path:
		r.keep(path)
		r.save()
	}
}

func (r *runner) keep(path string) {
	k := newKeeper(path)
	r.keeper = k
	if path == "" {
		return
	}
	ctx, stop := context.WithCancel(r.life)
	r.forget()
	r.forget = stop
	r.work.Go(func() { k.run(ctx) })
}

// save writes the orders.
func (r *runner) save() saved {
	if r.keeper == nil {
		return func(context.Context) error { return errNoState }
	}
	return r.keeper.save(r.orders)
}

// expire forgets orders whose time is over; the loops have noticed by
// themselves.
func (r *runner) expire() {
	now, changed := time.Now(), false
	if r.ending {
		return
	}
	for name, o := range r.orders {
		still := o.at(now)
		if still == o {
			continue
		}
		changed = true
		r.log.Info("an operator's order has expired", "service", name, "order", o.String())
		r.give(name, still)
	}
	if changed {
		r.save()
	}
}
