package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one program of the play. Its output goes to dir/name.log.
type process struct {
	name string
	dir  string
	argv []string

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

func (p *process) logFile() string { return filepath.Join(p.dir, p.name+".log") }

func (p *process) start() error {
	out, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, p.dir
	// Its own group, so that ctrl-C reaches us alone and we end things in
	// order; and it must not outlive us, however we end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.gone = cmd, make(chan struct{})
	go func(gone chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(gone)
	}(p.gone)
	return nil
}

// kill ends the process as a crash would.
func (p *process) kill() { p.end(syscall.SIGKILL) }

// stop asks the process to end, and insists after 5 seconds.
func (p *process) stop() { p.end(syscall.SIGTERM) }

func (p *process) end(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, sig) // the group: what it has started too
	select {
	case <-p.gone:
	case <-time.After(5 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.gone
	}
	p.cmd = nil
}

// await polls ready until it returns nil, the process ends, or 30 seconds have
// passed.
func (p *process) await(ctx context.Context, ready func() error) error {
	deadline := time.After(30 * time.Second)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.gone:
			return fmt.Errorf("%s ended at once, see %s", p.name, p.logFile())
		case <-deadline:
			return fmt.Errorf("%s is not ready after 30 s: %w", p.name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail returns the end of the process's log, as an error to join with another.
func (p *process) tail() error {
	data, _ := os.ReadFile(p.logFile()) // a log that cannot be read has nothing to tell
	if len(data) == 0 {
		return nil
	}
	return fmt.Errorf("--- end of %s:\n%s", p.logFile(), data[max(0, len(data)-2000):])
}

// accepts returns a condition: addr accepts connections.
func accepts(network, addr string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, addr, time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

// freePort returns a loopback port that nothing listens on. Another program
// could take it before we use it; then the play fails at once and says so.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// find returns the path of an installed program; daemons live where normal
// users do not search.
func find(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", errors.New(name + " is not installed")
}
