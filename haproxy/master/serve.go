package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	tendEvery = time.Second
	// lookEvery is how many rounds pass between looks at the workers while
	// none is leaving.
	lookEvery = 10
	// reloadLimit is how long a reload may take until the new worker is there.
	reloadLimit = time.Minute
	// repeatFirst is how long a reload may show no effect, on a master that
	// answers, before it is asked for again; then it doubles.
	repeatFirst = 2 * time.Second
	// execTime is how long the master's socket may refuse connections, which
	// it does while the master reads the file.
	execTime = 5 * time.Second
	// killGrace is how long a process may take to end after it was told to.
	killGrace = 5 * time.Second
)

// ErrEnded is the fault of a reload that HAProxy has not survived, ErrNotStarted
// that of one which was to start it.
var (
	ErrEnded      = errors.New("HAProxy has ended")
	ErrNotStarted = errors.New("HAProxy cannot be started")
)

// notStarted is an ErrNotStarted in HAProxy's own words.
type notStarted struct{ error }

func (notStarted) Is(target error) bool { return target == ErrNotStarted }

// serve looks after a HAProxy that runs. It returns when that has ended, with
// the reason, or ctx.
func (r *run) serve(ctx context.Context, p *process) error {
	watching, done := context.WithCancel(context.WithoutCancel(ctx))
	ended := p.watch(watching)
	defer func() {
		done()
		<-ended
	}()
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for round := 0; ; {
		if len(r.waiting) > 0 {
			err := r.reload(ctx, p, ended)
			r.out.relay(ctx)
			r.answer(err)
		}
		select {
		case <-ended:
			return r.ended(p, lastWords(r.out.since(0)))
		case <-ctx.Done():
			r.part(ctx, p, ended)
			return nil
		case q := <-r.requests:
			r.waiting = append(r.waiting, q)
		case <-ticker.C:
			r.out.relay(ctx)
			if round++; len(r.status.Old) > 0 || len(r.status.Current) == 0 || round%lookEvery == 0 {
				r.tend(ctx, p)
			}
		}
	}
}

// look asks for the processes: the master, or where it does not answer /proc,
// which cannot tell a failed reload.
func (r *run) look(ctx context.Context, p *process) (family, error) {
	text, err := ask(ctx, r.o.Socket, "show proc", askTime)
	if err == nil {
		f, err := parseProcs(text)
		if err == nil && f.master != p.pid {
			err = fmt.Errorf("on %s answers the master %d, not %d", r.o.Socket, f.master, p.pid)
		}
		return f, err
	}
	if !errors.Is(err, os.ErrNotExist) {
		return family{}, err
	}
	// Somebody has removed the socket; HAProxy makes it only when it starts.
	found, scanErr := r.o.relatives()
	if scanErr != nil {
		return family{}, errors.Join(err, scanErr)
	}
	children := slices.DeleteFunc(found[ours], func(e entry) bool { return e.parent != p.pid })
	slices.SortFunc(children, func(a, b entry) int { return int(int64(b.start) - int64(a.start)) })
	f := family{master: p.pid}
	for i, e := range children {
		if i == 0 {
			f.current = append(f.current, e.pid)
		} else {
			f.old = append(f.old, e.pid)
		}
	}
	return f, nil
}

// seen takes note of the processes.
func (r *run) seen(f family) {
	r.status.Current, r.status.Old = f.current, f.old
	known := r.leaving
	r.leaving = make(map[int]time.Time, len(f.old))
	for _, pid := range f.old {
		since, ok := known[pid]
		if !ok {
			since = time.Now()
		}
		r.leaving[pid] = since
	}
	r.publish()
}

// tend looks at the workers and ends those that have been leaving for too long.
func (r *run) tend(ctx context.Context, p *process) {
	f, err := r.look(ctx, p)
	if err != nil {
		return // it may be busy; reloads and its end are noticed without
	}
	r.seen(f)
	for pid, since := range r.leaving {
		e, err := readEntry(pid)
		if err != nil || e.parent != p.pid {
			continue
		}
		if e.state == 'T' {
			// It still has its listening sockets, and gets connections.
			r.log.WarnContext(ctx, "an old worker of HAProxy was stopped by a signal and is continued, so that it can leave", "pid", pid)
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
		over := time.Since(since) - r.o.HardStopAfter
		switch {
		case r.o.HardStopAfter <= 0 || over < 0:
		case over < killGrace:
			r.log.InfoContext(ctx, "an old worker of HAProxy has been leaving for too long and is ended", "pid", pid, "limit", r.o.HardStopAfter.String())
			_ = syscall.Kill(pid, syscall.SIGTERM)
		default:
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// reload makes HAProxy load its file, and sees that it does.
func (r *run) reload(ctx context.Context, p *process, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reloadLimit, fmt.Errorf("no new worker within %v", reloadLimit))
	defer cancel()
	before, err := r.await(ctx, p, ended, func(family) bool { return true })
	if err != nil {
		return fmt.Errorf("HAProxy cannot be reloaded: %w", err)
	}
	mark, pause, asked := r.out.size(), repeatFirst, time.Now()
	if err := r.order(ctx, p); err != nil {
		return err
	}
	// Before 2.7 the order has no answer, and one that arrives while the master
	// is still starting is lost: only the workers tell.
	after, silence := r.await(ctx, p, ended, func(now family) bool {
		if now.failed > before.failed || fresh(before, now) || failure(r.out.since(mark)) {
			return true
		}
		if time.Since(asked) > pause {
			pause, asked = 2*pause, time.Now()
			r.log.DebugContext(ctx, "HAProxy is told to reload again, because nothing is seen of it", "pid", p.pid)
			err = r.order(ctx, p)
		}
		return err != nil
	})
	switch {
	case err != nil:
		return err
	case silence != nil:
		return fmt.Errorf("HAProxy was told to reload, but is not seen to: %w", silence)
	case !fresh(before, after):
		return refused(r.out.since(mark))
	}
	r.seen(after)
	r.status.Reloads++
	r.tend(ctx, p)
	return nil
}

// order tells HAProxy to reload. From 2.7 on its answer is the result.
func (r *run) order(ctx context.Context, p *process) error {
	answer, err := ask(ctx, r.o.Socket, "reload", reloadLimit)
	if errors.Is(err, os.ErrNotExist) { // see look
		if err := p.handle.Signal(syscall.SIGUSR2); err != nil {
			return fmt.Errorf("HAProxy cannot be reloaded: %w", err)
		}
	}
	if strings.HasPrefix(answer, "Success=0") {
		return refused(answer)
	}
	return nil // a connection that breaks may well be the master's exec
}

// fresh reports whether a worker serves that was not there before.
func fresh(before, now family) bool {
	return slices.ContainsFunc(now.current, func(pid int) bool {
		return !slices.Contains(before.current, pid) && !slices.Contains(before.old, pid)
	})
}

// failure reports whether HAProxy has said that a reload failed, in the words
// of 2.5 and later, or of 2.4.
func failure(said string) bool {
	return strings.Contains(said, "Loading failure") || strings.Contains(said, "in waitpid mode")
}

func refused(said string) error {
	_, list, found := strings.Cut(said, "--\n")
	if !found {
		list = said
	}
	return fmt.Errorf("HAProxy has refused the file and goes on with what it has: %s", complaints(list))
}

// await looks at the processes until they are as wanted.
func (r *run) await(ctx context.Context, p *process, ended <-chan struct{}, wanted func(family) bool) (family, error) {
	silent := time.Now()
	for {
		f, err := r.look(ctx, p)
		if err == nil {
			silent = time.Now()
			if wanted(f) {
				return f, nil
			}
		} else if time.Since(silent) > execTime && !errors.Is(err, syscall.ECONNREFUSED) {
			return f, err
		}
		select {
		case <-ended:
			return f, ErrEnded
		case <-ctx.Done():
			return f, errors.Join(context.Cause(ctx), err)
		case <-time.After(lookPause):
		}
	}
}

// part does what Options.Exit says.
func (r *run) part(ctx context.Context, p *process, ended <-chan struct{}) {
	defer r.out.relay(context.WithoutCancel(ctx))
	var signals []os.Signal
	switch r.o.Exit {
	case Leave:
		_ = p.handle.Release()
		r.log.InfoContext(ctx, "HAProxy is left serving", "pid", p.pid)
		return
	case Graceful:
		signals = []os.Signal{syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGKILL}
	default:
		signals = []os.Signal{syscall.SIGTERM, syscall.SIGKILL}
	}
	for _, s := range signals {
		limit := killGrace
		if s == syscall.SIGUSR1 {
			limit = r.o.StopLimit
		}
		if err := p.handle.Signal(s); err != nil {
			break
		}
		select {
		case <-ended:
			r.log.InfoContext(ctx, "HAProxy has ended, because we end", "pid", p.pid, "reason", p.collect())
			return
		case <-time.After(limit):
		}
	}
	r.log.ErrorContext(ctx, "HAProxy does not end", "pid", p.pid)
	_ = p.handle.Release()
}
