package dockerconn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"smartstack/internal/mailbox"
)

// Pace holds the times of a follower.
type Pace struct {
	Interval time.Duration // between two lists while nothing happens
	Deadline time.Duration // of one list, and of a stream's beginning
	First    time.Duration // how long the first list waits for the stream, so as to come after it
	Gap      time.Duration // between two lists, however much happens
	Settle   time.Duration // to one more list after an event: some are sent before the list knows
	Believe  time.Duration // how long a death counts for more than a list that knows nothing of it
	Retry    time.Duration // before the second attempt; it doubles up to interval
}

// PaceFor returns the times that go with an interval.
func PaceFor(interval time.Duration) Pace {
	return Pace{
		Interval: interval, Deadline: 10 * time.Second, First: time.Second, Gap: 100 * time.Millisecond,
		Settle: time.Second, Believe: 10 * time.Second, Retry: time.Second,
	}
}

// jitter spreads d by up to a tenth, so that hosts do not ask in step.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// BackOff is the pause after failure number n, from 1.
func (p Pace) BackOff(n int) time.Duration {
	return jitter(min(p.Retry<<min(n-1, 16), p.Interval))
}

// Word is what a follower says: what its reader made of the engine, or why
// nothing is known.
type Word[T any] struct {
	Value   T
	Err     error
	Noticed time.Time // when the first event came that this list followed; zero = none
}

// Reader makes something of the containers that run on an engine. Its methods
// are called by the follower's goroutine.
type Reader[T any] interface {
	// Concerns reports whether an event may change what Read makes.
	Concerns(e Event) bool
	// Read is given all containers that run, and what could not be read of the
	// list. It may ask the engine for more; an error means that the engine is
	// asked again later.
	Read(ctx context.Context, a *API, running []*Container, bad []Bad) (T, error)
}

// hint is what the stream of events tells the follower.
type hint struct {
	event Event
	kind  hintKind
	fails int // lost: attempts in a row that brought no stream
	err   error
}

type hintKind int

const (
	happened hintKind = iota
	opened            // from now on nothing is missed
	lost
)

// Follower follows one engine. It belongs to the goroutine of Run. The fields
// are set before Run and never change.
type Follower[T any] struct {
	Server Server
	Dial   Dialer
	Reader Reader[T]
	Pace   Pace
	Log    *slog.Logger
	Keeps  string // what stays as it was while the engine cannot be read: "its backends"
	Who    string // whose user needs the group of the socket: "synapse"

	api   *API                 // nil = to be made
	dead  map[string]time.Time // containers whose death was told, and when
	fails int                  // lists that failed in a row
	blind bool                 // the log knows that there are no events
}

// Run follows the engine until ctx ends.
func (f *Follower[T]) Run(ctx context.Context, out *mailbox.Latest[Word[T]]) {
	f.dead = map[string]time.Time{}
	hints := make(chan hint)
	var group sync.WaitGroup
	group.Go(func() { f.stream(ctx, hints) })
	defer group.Wait()
	defer f.Disconnect()

	next := time.NewTimer(f.Pace.First)
	defer next.Stop()
	var listed time.Time // when the last list was complete
	settled := true      // nothing has happened since the last list
	var noticed time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-hints:
			if f.heed(h) {
				settled = false
				if noticed.IsZero() && h.kind == happened {
					noticed = time.Now()
				}
				next.Reset(max(0, f.Pace.Gap-time.Since(listed)))
			}
		case <-next.C:
			w := f.Ask(ctx)
			if ctx.Err() != nil {
				return
			}
			f.tell(w.Err)
			w.Noticed, noticed = noticed, time.Time{}
			out.Put(w)
			listed = time.Now()
			next.Reset(f.pause(settled))
			settled = true
		}
	}
}

// pause returns the time to the next list if nothing happens.
func (f *Follower[T]) pause(settled bool) time.Duration {
	switch {
	case f.fails > 0:
		return f.Pace.BackOff(f.fails)
	case !settled:
		return min(f.Pace.Settle, f.Pace.Interval)
	default:
		return jitter(f.Pace.Interval)
	}
}

// heed takes a hint, and reports whether to list now. While lists fail, only a
// new stream brings one before its time.
func (f *Follower[T]) heed(h hint) bool {
	switch h.kind {
	case opened:
		clear(f.dead)
		if f.blind {
			f.Log.Info("the events of docker server " + f.Server.String() + " are followed again")
		}
		f.blind = false
		return true
	case lost:
		if h.fails == 2 && f.fails == 0 && !f.blind {
			f.blind = true
			f.Log.Warn(fmt.Sprintf("docker server %s gives no events; changes are seen every %v only", f.Server, f.Pace.Interval), "err", h.err)
		}
		return f.fails == 0 && h.fails < 2
	}
	if !f.Reader.Concerns(h.event) {
		return false
	}
	switch h.event.Action {
	case "die":
		f.dead[h.event.Actor.ID] = time.Now()
	case "start":
		delete(f.dead, h.event.Actor.ID)
	}
	return f.fails == 0
}

// tell logs the first failure and the end of failures.
func (f *Follower[T]) tell(err error) {
	switch {
	case err != nil:
		if f.fails++; f.fails == 1 {
			f.Log.Warn("docker server "+f.Server.String()+" cannot be read; "+f.Keeps+" stay as they were while it is tried again", "err", err)
		}
	case f.fails > 0:
		f.Log.Info("docker server " + f.Server.String() + " can be read again")
		f.fails = 0
	}
}

// Ask lists the engine's containers and lets the reader read them. A failure
// closes the connection, so that the next attempt begins afresh, with the TLS
// files as they are then.
func (f *Follower[T]) Ask(ctx context.Context) Word[T] {
	ctx, cancel := context.WithTimeout(ctx, f.Pace.Deadline)
	defer cancel()
	value, err := f.list(ctx)
	if err != nil {
		f.Disconnect()
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (give %s's user the group of the socket, mostly docker)", err, f.Who)
		}
		return Word[T]{Err: fmt.Errorf("docker server %s: %w", f.Server, err)}
	}
	return Word[T]{Value: value}
}

// Disconnect ends the connection; the next Ask makes another.
func (f *Follower[T]) Disconnect() {
	if f.api != nil {
		f.api.Close()
		f.api = nil
	}
}

func (f *Follower[T]) list(ctx context.Context) (none T, err error) {
	if f.api == nil {
		a, err := Connect(f.Server, f.Dial, f.Pace.Deadline)
		if err != nil {
			return none, err
		}
		f.api = a
	}
	all, bad, err := f.api.Containers(ctx)
	if err != nil {
		return none, err
	}
	f.forget(all)
	var alive []*Container
	for _, c := range all {
		if _, died := f.dead[c.ID]; !died {
			alive = append(alive, c)
		}
	}
	return f.Reader.Read(ctx, f.api, alive, bad)
}

// forget drops deaths that a list should know of by now.
func (f *Follower[T]) forget(all []*Container) {
	listed := make(map[string]bool, len(all))
	for _, c := range all {
		listed[c.ID] = true
	}
	for id, when := range f.dead {
		if !listed[id] || time.Since(when) > f.Pace.Believe {
			delete(f.dead, id)
		}
	}
}

// stream keeps the engine's events coming, as hints, until ctx ends.
func (f *Follower[T]) stream(ctx context.Context, hints chan<- hint) {
	send := func(h hint) {
		select {
		case hints <- h:
		case <-ctx.Done():
		}
	}
	for fails := 1; ; fails++ {
		began := time.Now()
		err := f.follow(ctx, send)
		if time.Since(began) > f.Pace.Interval {
			fails = 1
		}
		if ctx.Err() != nil {
			return
		}
		send(hint{kind: lost, fails: fails, err: err})
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.Pace.BackOff(fails)):
		}
	}
}

// follow is one connection of stream.
func (f *Follower[T]) follow(ctx context.Context, send func(hint)) error {
	a, err := Connect(f.Server, f.Dial, f.Pace.Deadline)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Events(ctx, func() { send(hint{kind: opened}) }, func(e Event) { send(hint{kind: happened, event: e}) })
}
