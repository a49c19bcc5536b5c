// Package command runs what users give as a command: with a deadline that ends
// the whole process group, an environment that does not depend on how we were
// started, and the last line of the output for the person who has to find out
// what went wrong.
//
//	c := command.Command{Argv: []string{"/usr/local/bin/ready", "web"}, Env: []string{"NERVE_SERVICE=web"}}
//	result := c.Run(ctx)
//	if result.Err != nil { … }
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tail is how much of the end of the output is kept, in bytes.
	tail = 4 << 10
	// shown is how much of its last line goes into a message.
	shown = 300
	// linger is how long the output is still read after the command has ended:
	// a daemon that it started may keep the pipe open for ever.
	linger = 200 * time.Millisecond
	// path is where programs are looked for.
	path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Command is a program with its arguments. No shell is involved.
type Command struct {
	Argv []string
	// Env is the environment but for PATH, HOME, LANG and SHELL, which have
	// plain values unless they are in it.
	Env []string
	Dir string // working directory; empty means /
	// Sweep kills what the command leaves behind in its process group when it
	// ends by itself. What runs every second must leave nothing behind.
	Sweep bool
}

// Result is how a run has ended.
type Result struct {
	Code int    // exit status; -1 when there is none
	Last string // the last line of the output that is not empty, in a printable form
	Err  error  // nil after exit status 0
}

// Check tells whether the program can be found, without running it.
func (c Command) Check() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return errors.New("want a program and its arguments, got nothing")
	}
	_, err := c.program()
	return err
}

// program returns the path of the program, from our own PATH and not that of
// the process.
func (c Command) program() (string, error) {
	name := c.Argv[0]
	if strings.Contains(name, "/") {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("cannot run %s: %w", name, errors.Unwrap(err))
		}
		return found, nil
	}
	search := path
	for _, e := range c.Env {
		if own, ok := strings.CutPrefix(e, "PATH="); ok {
			search = own
		}
	}
	for _, dir := range filepath.SplitList(search) {
		if found, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(dir) {
			return found, nil
		}
	}
	return "", fmt.Errorf("cannot run %s: it is nowhere in %s", name, search)
}

// Run runs the command in a process group of its own, all of which is killed
// when ctx ends.
func (c Command) Run(ctx context.Context) Result {
	if len(c.Argv) == 0 {
		return Result{Code: -1, Err: c.Check()}
	}
	program, err := c.program()
	if err != nil {
		return Result{Code: -1, Err: err}
	}
	var out end
	cmd := exec.CommandContext(ctx, program)
	cmd.Args = c.Argv
	cmd.Env = append([]string{"PATH=" + path, "HOME=/", "LANG=C.UTF-8", "SHELL=/bin/sh"}, c.Env...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = linger
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	err = c.run(cmd)
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // it has ended well, and a child of it holds the pipe
	}
	r := Result{Code: -1, Last: out.lastLine()}
	if cmd.ProcessState != nil {
		r.Code = cmd.ProcessState.ExitCode()
	}
	if ctx.Err() != nil && err != nil {
		err = fmt.Errorf("killed: %w", context.Cause(ctx))
	}
	switch {
	case err == nil:
	case r.Last == "":
		r.Err = fmt.Errorf("%s: %w", filepath.Base(program), err)
	default:
		r.Err = fmt.Errorf("%s: %w: %s", filepath.Base(program), err, r.Last)
	}
	return r
}

func (c Command) run(cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	if c.Sweep {
		// Until it is waited for, its id is the group's and nobody else's.
		for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	return cmd.Wait()
}

// end keeps the end of what is written to it. The one goroutine of exec.Cmd
// writes to it.
type end struct{ text []byte }

func (e *end) Write(p []byte) (int, error) {
	e.text = append(e.text, p[max(0, len(p)-tail):]...)
	if over := len(e.text) - tail; over > 0 {
		e.text = append(e.text[:0], e.text[over:]...)
	}
	return len(p), nil
}

// lastLine is for messages and logs: without control characters, and not
// long.
func (e *end) lastLine() string {
	text := bytes.TrimSpace(e.text)
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	line := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return ' '
		}
		return r
	}, string(text)))
	if len(line) > shown {
		line = strings.ToValidUTF8(line[:shown], "") + " …"
	}
	return line
}
