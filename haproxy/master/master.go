package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// The delays before HAProxy is started again: none after a good while of
// service, then doubling.
const (
	firstDelay   = 100 * time.Millisecond
	longestDelay = 5 * time.Second
	goodWhile    = 10 * time.Second
	// fileDelay is how often a file that is not there yet is looked for.
	fileDelay = 200 * time.Millisecond
	// writerPause is how long whoever has written the first file may take to
	// ask for a reload, which is then answered by the start.
	writerPause = 300 * time.Millisecond
)

// Master looks after one HAProxy. Run owns all of its state; the other methods
// may be called from any goroutine.
type Master struct {
	o        Options
	log      *slog.Logger
	requests chan request
	status   atomic.Pointer[Status]
}

// request is one call of Reload.
type request struct{ done chan error } // of one place

// Status is what is known of HAProxy. It is immutable.
type Status struct {
	PID       int  // of the master; 0 = it does not run
	Adopted   bool // an earlier run has started it
	Since     time.Time
	Current   []int // workers that take connections
	Old       []int // workers that are leaving
	Starts    int   // by this Run
	Reloads   int   // that worked
	LastFault string
}

// New returns a Master for the options. It does no I/O.
func New(o Options, log *slog.Logger) (*Master, error) {
	o, err := o.Complete()
	if err != nil {
		return nil, err
	}
	m := &Master{o: o, log: log, requests: make(chan request)}
	m.status.Store(&Status{})
	return m, nil
}

// Options returns the options with their defaults.
func (m *Master) Options() Options { return m.o }

// Status returns what is known of HAProxy.
func (m *Master) Status() Status { return *m.status.Load() }

// Workers returns how many workers take connections, and how many are leaving.
func (m *Master) Workers() (current, old int) {
	s := m.status.Load()
	return len(s.Current), len(s.Old)
}

// Reload makes HAProxy load its file and returns nil when a worker that has
// read it serves. While HAProxy does not run, it is started at once. Reloads
// never overlap: one that is asked for during another comes after it. It needs
// Run; ctx bounds the waiting, not a reload that is under way.
func (m *Master) Reload(ctx context.Context) error {
	r := request{done: make(chan error, 1)}
	select {
	case m.requests <- r:
	case <-ctx.Done():
		return fmt.Errorf("HAProxy was not reloaded: %w", context.Cause(ctx))
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it is not known whether HAProxy was reloaded: %w", context.Cause(ctx))
	}
}

// States returns what the worker that takes connections answers to "show servers
// state"; empty = there is none.
func (m *Master) States(ctx context.Context) (string, error) {
	if current, _ := m.Workers(); current == 0 {
		return "", nil
	}
	return ask(ctx, m.o.Socket, "@1 show servers state", stateTime)
}

// errNoFile says that there is nothing to start HAProxy with.
var errNoFile = errors.New("the file is not there yet")

// Run keeps HAProxy running until ctx ends, and then does what Options.Exit
// says. It may be called again after it has returned.
func (m *Master) Run(ctx context.Context) error {
	r := &run{Master: m, out: newOutput(m.o.Dir, m.log)}
	lock := r.claim(ctx)
	if lock == nil {
		r.answer(context.Cause(ctx))
		return nil
	}
	defer lock.Close()
	for ctx.Err() == nil {
		p, err := r.bring(ctx)
		if err == nil {
			err = r.serve(ctx, p)
		}
		if ctx.Err() == nil {
			r.pause(ctx, err)
		}
	}
	r.answer(context.Cause(ctx))
	return nil
}

// run is the state of one Run. It belongs to its goroutine.
type run struct {
	*Master
	out     *output
	waiting []request

	status   Status
	leaving  map[int]time.Time // since when we know a worker as old
	delay    time.Duration
	began    time.Time // when the process at hand was there
	missing  bool      // there was no file
	reported string    // the fault that was logged last
}

// publish makes the status known.
func (r *run) publish() {
	s := r.status
	r.Master.status.Store(&s)
}

// claim takes the lock, waiting for another supervisor to end; nil = ctx has
// ended.
func (r *run) claim(ctx context.Context) *os.File {
	for {
		lock, err := r.o.lock()
		if err == nil {
			return lock
		}
		r.fault(ctx, "HAProxy is not looked after", err)
		r.answer(err)
		r.wait(ctx, longestDelay)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// answer ends all requests that wait.
func (r *run) answer(err error) {
	for _, q := range r.waiting {
		q.done <- err
	}
	r.waiting = nil
}

// wait waits for d, or until somebody asks for a reload.
func (r *run) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case q := <-r.requests:
		r.waiting = append(r.waiting, q)
	}
}

// fault logs a fault, once as long as it stays the same.
func (r *run) fault(ctx context.Context, what string, err error) {
	r.status.LastFault = err.Error()
	r.publish()
	if text := what + err.Error(); text != r.reported {
		r.reported = text
		r.log.ErrorContext(ctx, what, "err", err)
	}
}

// pause deals with a HAProxy that does not run, and waits before the next
// attempt.
func (r *run) pause(ctx context.Context, err error) {
	if errors.Is(err, errNoFile) {
		if r.reported != err.Error() {
			r.reported = err.Error()
			r.log.InfoContext(ctx, "HAProxy is started as soon as its file is there", "file", r.o.Config)
		}
		r.answer(fmt.Errorf("%s: %w", r.o.Config, err))
		r.wait(ctx, fileDelay)
		return
	}
	r.answer(err)
	if !r.began.IsZero() && time.Since(r.began) >= goodWhile {
		r.delay = 0
	}
	served := !r.began.IsZero()
	r.began = time.Time{}
	if served {
		r.reported = "" // what it says next is news
		r.fault(ctx, "HAProxy has ended and is started again", err)
	} else {
		r.fault(ctx, "HAProxy cannot be started", err)
	}
	if r.delay > 0 {
		r.wait(ctx, r.delay)
	}
	r.delay = min(max(2*r.delay, firstDelay), longestDelay)
}

// bring finds the HAProxy that runs, or starts one. It returns when that one
// serves.
func (r *run) bring(ctx context.Context) (*process, error) {
	p, err := r.find(ctx)
	if err != nil {
		return nil, err
	}
	if p == nil {
		if _, err := os.Stat(r.o.Config); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				r.missing = true
				return nil, errNoFile
			}
			return nil, err
		}
		if r.missing && len(r.waiting) == 0 {
			r.wait(ctx, writerPause)
		}
		r.missing = false
		select {
		case q := <-r.requests: // who asks already is answered by the start
			r.waiting = append(r.waiting, q)
		default:
		}
		if p, err = r.start(ctx); err != nil {
			return nil, err
		}
		if ctx.Err() == nil {
			r.answer(nil) // it has read the file after they asked
		}
	}
	r.began, r.reported, r.status.LastFault = time.Now(), "", ""
	r.publish()
	return p, nil
}
