package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// startLimit is how long HAProxy may take until it serves. It is long:
	// names in the file are resolved first. After that it is left alone.
	startLimit = time.Minute
	// lookPause is how soon a process that is starting is looked at again.
	lookPause = 10 * time.Millisecond
	// orphanGrace is how long workers without a master may take to notice.
	orphanGrace = time.Second
)

// find returns the HAProxy of an earlier run; nil when there is none. An error
// means that a HAProxy runs beside which none may be started.
func (r *run) find(ctx context.Context) (*process, error) {
	e, ok := r.o.noted()
	if !ok {
		e, ok = r.askedFor(ctx)
	}
	if !ok {
		var err error
		if e, ok, err = r.searched(ctx); err != nil {
			return nil, err
		}
	}
	if !ok {
		return nil, nil
	}
	p, err := open(e, false)
	if err != nil {
		return nil, nil //nolint:nilerr // it has ended just now
	}
	if err := r.o.note(e); err != nil {
		r.fault(ctx, "the next run will have to search for HAProxy", err)
	}
	r.out.read = r.out.size()
	r.status.PID, r.status.Adopted, r.status.Since = p.pid, true, time.Now()
	if f, err := r.look(ctx, p); err == nil {
		r.seen(f)
	}
	r.publish()
	r.log.InfoContext(ctx, "HAProxy runs already and is adopted", "pid", p.pid, "workers", len(r.status.Current))
	return p, nil
}

// askedFor finds the master by its socket.
func (r *run) askedFor(ctx context.Context) (entry, bool) {
	text, err := ask(ctx, r.o.Socket, "show proc", askTime)
	if err != nil {
		return entry{}, false
	}
	f, err := parseProcs(text)
	if err != nil || r.o.kin(readArgs(f.master)) != ours {
		return entry{}, false
	}
	e, err := readEntry(f.master)
	return e, err == nil && !e.dead()
}

// searched finds the master among all processes. It ends workers whose master
// is gone: they notice by themselves, unless they hang.
func (r *run) searched(ctx context.Context) (entry, bool, error) {
	for end := time.Now().Add(orphanGrace); ; {
		found, err := r.o.relatives()
		if err != nil {
			return entry{}, false, err
		}
		if list := masters(found[ours]); len(list) > 0 {
			return list[0], true, nil
		}
		if list := found[rival]; len(list) > 0 {
			return entry{}, false, fmt.Errorf("HAProxy (pid %d) runs already with %s, started by somebody else: stop it for good (systemctl disable --now haproxy), or leave it in charge and switch supervise off. "+
				"A second one would get a part of the connections", list[0].pid, r.o.Config)
		}
		if len(found[ours]) == 0 {
			return entry{}, false, nil
		}
		if time.Now().After(end) {
			for _, e := range found[ours] {
				r.log.WarnContext(ctx, "a worker of HAProxy hangs after its master has ended, and is killed", "pid", e.pid)
				_ = syscall.Kill(e.pid, syscall.SIGKILL)
			}
			end = time.Now().Add(orphanGrace)
		}
		select {
		case <-ctx.Done():
			return entry{}, false, context.Cause(ctx)
		case <-time.After(lookPause):
		}
	}
}

// start starts HAProxy and waits until it serves.
func (r *run) start(ctx context.Context) (*process, error) {
	program := Program(r.o.Path, r.o.Env)
	if program == "" {
		return nil, errors.New("HAProxy is not installed here: install it, or name the program with haproxy_path")
	}
	p, err := r.launch(program)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	r.status.Starts++
	r.status.PID, r.status.Adopted, r.status.Since = p.pid, false, time.Now()
	r.publish()
	watching, done := context.WithCancel(ctx)
	ended := p.watch(watching)
	defer func() {
		done()
		<-ended
	}()
	for limit := time.Now().Add(startLimit); ; {
		f, err := r.look(ctx, p)
		if err == nil && len(f.current) > 0 {
			r.seen(f)
			r.log.InfoContext(ctx, "HAProxy is started", "pid", p.pid, "workers", len(f.current), "file", r.o.Config)
			return p, nil
		}
		select {
		case <-ctx.Done(): // what is to become of it is for serve to say
			return p, nil
		case <-ended:
			return nil, notStarted{r.ended(p, complaints(r.out.since(0)))}
		case <-time.After(lookPause):
		}
		if time.Now().After(limit) {
			r.log.WarnContext(ctx, "HAProxy runs, but does not answer on its master socket", "pid", p.pid, "err", err)
			return p, nil
		}
	}
}

// launch starts the process, out of reach of whatever ends us.
func (r *run) launch(program string) (*process, error) {
	log, err := r.out.create()
	if err != nil {
		return nil, fmt.Errorf("file for its output: %w", err)
	}
	defer log.Close()
	argv := r.o.argv(program)
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...) // it outlives every context of ours
	cmd.Env = r.o.environment()
	cmd.Stdout, cmd.Stderr = log, log
	if r.o.Stdout != nil {
		cmd.Stdout = r.o.Stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, child: true, handle: cmd.Process}
	e, err := readEntry(p.pid)
	if err == nil {
		p.start = e.start
		err = r.o.note(e)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("the next run will have to search for HAProxy", "err", err)
	}
	return p, nil
}

// ended takes note of the end of p, and puts into words how it ended and what
// it said.
func (r *run) ended(p *process, said string) error {
	how := p.collect()
	r.out.relay(context.Background())
	r.status.PID, r.status.Current, r.status.Old, r.leaving = 0, nil, nil, nil
	r.publish()
	if said == "" {
		return fmt.Errorf("HAProxy (pid %d): %s, without a word", p.pid, how)
	}
	return fmt.Errorf("HAProxy (pid %d): %s: %s", p.pid, how, said)
}
