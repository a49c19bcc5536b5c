package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"smartstack/internal/supervise"
)

// crew is the programs that are run. Everything in it belongs to the goroutine
// that calls run, but for what the members say on their channels.
type crew struct {
	log            *slog.Logger
	env            []string
	stdout, stderr *os.File
	limit          time.Duration
	members        []*member
}

// member is one program, started again whenever it ends.
type member struct {
	name, path string
	args       []string

	signals chan os.Signal // for the process at hand
	cancel  context.CancelFunc
	done    chan struct{} // it has ended and is not started again
}

// check lets each program check its file.
func (c *crew) check(ctx context.Context) error {
	for _, m := range c.members {
		cmd := c.command(ctx, m, append([]string{"-k"}, m.args...))
		cmd.Stdout = c.stderr
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

func (c *crew) command(ctx context.Context, m *member, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.path, args...)
	cmd.Env = append([]string{}, c.env...)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
	return cmd
}

// run runs the programs until a signal asks for the end.
func (c *crew) run(ctx context.Context, signals <-chan os.Signal) int {
	if err := c.check(ctx); err != nil {
		c.log.Error("smartstack does not start; see above", "err", err)
		return exitFault
	}
	c.log.Info("smartstack starts", "version", version)
	for _, m := range c.members {
		c.start(ctx, m)
	}
	for {
		select {
		case <-ctx.Done():
			return c.end(nil)
		case s := <-signals:
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				c.log.Info("smartstack ends", "reason", s.String()+" signal received")
				return c.end(signals)
			}
			for _, m := range c.members {
				select {
				case m.signals <- s:
				default: // it is being started; it reads its file then
				}
			}
		}
	}
}

// start starts a member and sees that it runs until its cancel.
func (c *crew) start(ctx context.Context, m *member) {
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.signals, m.done = make(chan os.Signal, 8), make(chan struct{})
	actor := supervise.New(func(ctx context.Context) error { return c.once(ctx, m) }, func(err error, retry time.Duration) {
		c.log.Error("has ended and is started again", "program", m.name, "err", err, "retry", retry.String())
	})
	go func() {
		defer close(m.done)
		actor.Supervise(ctx)
	}()
}

// once runs a member's process to its end. When ctx ends it is told to end, and
// killed when it does not.
func (c *crew) once(ctx context.Context, m *member) error {
	cmd := c.command(ctx, m, m.args)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = c.limit
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			// The end of ctx is Wait's word for a process that has ended well after it.
			if ctx.Err() != nil && err != nil && !errors.Is(err, context.Canceled) {
				c.log.Error("did not end in order", "program", m.name, "err", err)
			}
			return err
		case s := <-m.signals:
			_ = cmd.Process.Signal(s) // it may have ended just now
		}
	}
}

// end ends the members one after the other. A second signal ends them all at
// once.
func (c *crew) end(signals <-chan os.Signal) int {
	for _, m := range c.members {
		m.cancel()
		select {
		case <-m.done:
		case <-signals:
			for _, m := range c.members {
				m.cancel()
			}
			<-m.done
		}
	}
	return exitOK
}
