package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"smartstack/haproxy"
	"smartstack/haproxy/master"
	actors "smartstack/internal/supervise"
)

// supervised is the HAProxy that synapse runs. A nil one is none.
type supervised struct {
	log     *slog.Logger
	options master.Options
	master  *master.Master
	cancel  context.CancelFunc // nil = not started
	done    chan struct{}
}

// supervise makes ready to run HAProxy as o says. It starts nothing.
func supervise(o *haproxy.Options, env []string, stdout *os.File, log *slog.Logger) (*supervised, error) {
	mo := o.Master()
	mo.Env, mo.Stdout = env, stdout
	m, err := master.New(mo, log)
	if err != nil {
		return nil, err
	}
	return &supervised{log: log, options: m.Options(), master: m, done: make(chan struct{})}, nil
}

// start lets the HAProxy be looked after, if it is not yet. It goes on until
// stop, not until the program is told to end: a reload that is under way then
// is still waited for.
func (s *supervised) start() {
	if s == nil || s.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	actor := actors.New(s.master.Run, func(err error, retry time.Duration) {
		s.log.Error("HAProxy is not looked after for a moment", "err", err, "retry", retry.String())
	})
	go func() {
		defer close(s.done)
		actor.Supervise(ctx)
	}()
}

// stop ends the looking after, and with it HAProxy if the options say so. It
// reports whether HAProxy was left as it is.
func (s *supervised) stop() (left bool) {
	if s == nil || s.cancel == nil {
		return true
	}
	s.cancel()
	<-s.done
	return s.options.Exit == master.Leave
}

// unchanged refuses a new configuration in which another HAProxy would have to
// run, or the same one another way: two at a time share the connections, and
// one after the other leaves a gap.
func (s *supervised) unchanged(o *haproxy.Options) error {
	if s == nil {
		if o.Supervise {
			return errors.New("haproxy.supervise cannot be switched on while synapse runs: restart synapse")
		}
		return nil
	}
	next, err := o.Master().Complete()
	if err != nil {
		return err
	}
	was := s.options
	if !o.Supervise || next.Config != was.Config || next.Socket != was.Socket || next.Path != was.Path ||
		next.Exit != was.Exit || next.HardStopAfter != was.HardStopAfter {
		return errors.New("haproxy.supervise, config_file_path, master_socket, haproxy_path, hard_stop_after and stop_haproxy_on_exit cannot change while synapse looks after HAProxy: " +
			"restart synapse, HAProxy goes on serving meanwhile")
	}
	return nil
}
