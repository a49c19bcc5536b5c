// Package supervise keeps a long-running function running: it starts it again
// after an error or a panic, with a growing and jittered delay, and tells how
// it is doing.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// The delays between restarts: doubling from first to longest, each within
// ±50 % so that a fleet does not come back in step, starting afresh after
// healthy.
const (
	first   = 100 * time.Millisecond
	longest = 30 * time.Second
	healthy = time.Minute
)

// Actor is one supervised function. Make it with New.
type Actor struct {
	run     func(ctx context.Context) error
	failed  func(err error, retry time.Duration)
	current atomic.Pointer[context.CancelCauseFunc] // ends the run under way
	restart chan struct{}                           // cuts a delay short
	stopped atomic.Bool
}

// New returns an actor for run, which must return when its context ends. A nil
// error while the context goes on counts as a failure too: a run that has
// ended no longer does its work. failed is told each failure and the delay
// before the next start, on the actor's goroutine; it may be nil.
func New(run func(ctx context.Context) error, failed func(err error, retry time.Duration)) *Actor {
	return &Actor{run: run, failed: failed, restart: make(chan struct{}, 1)}
}

// Restart ends the current run, if there is one, and starts the next at once.
// It does not block and may be called from any goroutine.
func (a *Actor) Restart() {
	select {
	case a.restart <- struct{}{}:
	default:
	}
	if cancel := a.current.Load(); cancel != nil {
		(*cancel)(errRestart)
	}
}

// Stop ends the current run, if there is one, and Supervise. It does not block
// and may be called from any goroutine. A context for each of thousands of
// actors would cost half a kilobyte each.
func (a *Actor) Stop() {
	a.stopped.Store(true)
	a.Restart()
}

// Supervise runs the actor until ctx ends or Stop is called. It is called once.
func (a *Actor) Supervise(ctx context.Context) {
	delay := first
	for !a.over(ctx) {
		started := time.Now()
		err := a.once(ctx)
		if a.over(ctx) {
			return
		}
		if errors.Is(err, errRestart) {
			continue
		}
		if time.Since(started) > healthy {
			delay = first
		}
		wait := jitter(delay)
		delay = min(2*delay, longest)
		if a.failed != nil {
			a.failed(err, wait)
		}
		a.pause(ctx, wait)
	}
}

func (a *Actor) over(ctx context.Context) bool { return a.stopped.Load() || ctx.Err() != nil }

// pause waits, until a restart is asked for or ctx ends. It is apart because
// what a select needs would lie on the stack of every run.
//
//go:noinline
func (a *Actor) pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-a.restart:
	case <-time.After(wait):
	}
}

var (
	errRestart = errors.New("restart asked for")
	errEnded   = errors.New("ended without a reason")
)

func (a *Actor) once(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	a.current.Store(&cancel)
	select {
	case <-a.restart: // asked for before this run began: this run is the answer
	default:
	}
	if a.stopped.Load() { // which did not see this run
		return errRestart
	}
	err := protect(ctx, a.run)
	if errors.Is(context.Cause(ctx), errRestart) {
		return errRestart
	}
	return err
}

// protect turns a panic into an error.
func protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := run(ctx); err != nil {
		return err
	}
	return errEnded
}

func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}
