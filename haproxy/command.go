package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// outputLimit is how much of a command's output is kept, in bytes; the
	// rest is read and thrown away.
	outputLimit = 64 << 10
	// outputGrace is how long the output is still read after the command has
	// ended: a daemon that it started may keep the pipe open for ever.
	outputGrace = 200 * time.Millisecond
	// shownOutput is how much of it goes into a message.
	shownOutput = 2000
)

// commandError says how a command failed.
type commandError struct {
	Line   string // the command
	Output string // what it printed, on both streams
	Err    error
	// Refused says that the command did its work and the answer is no. It is
	// false when it could not be started, was killed, or ran into the limit:
	// that tells nothing about what it was to look at.
	Refused bool
}

func (e *commandError) Error() string {
	s := fmt.Sprintf("%s: %v", e.Line, e.Err)
	if out := strings.TrimSpace(e.Output); out != "" {
		if len(out) > shownOutput {
			out = strings.ToValidUTF8(out[:shownOutput], "") + " …"
		}
		s += ": " + out
	}
	return s
}

func (e *commandError) Unwrap() error { return e.Err }

// errKilled says that a command took too long.
var errKilled = errors.New("was killed")

// shellCommand runs line as the originals do, through the shell.
func shellCommand(ctx context.Context, line string, env []string, limit time.Duration) error {
	return runCommand(ctx, line, []string{"/bin/sh", "-c", line}, env, limit)
}

// runCommand runs argv in a process group of its own, and kills the whole
// group when ctx ends or after limit. The error is a *commandError.
func runCommand(ctx context.Context, line string, argv, env []string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("did not end within %v and %w", limit, errKilled))
	defer cancel()
	var out keptOutput
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{}, env...) // never nil: that would stand for our own environment
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	err := cmd.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		return nil
	}
	failed := &commandError{Line: line, Output: string(out.text), Err: err}
	if cause := context.Cause(ctx); cause != nil {
		failed.Err = cause
		return failed
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code := exit.ExitCode()                                 // -1 after a signal
		failed.Refused = code > 0 && code != 126 && code != 127 // the shell's "cannot run this"
	}
	return failed
}

// keptOutput keeps the beginning of what is written to it. The one goroutine
// of exec.Cmd writes to it.
type keptOutput struct{ text []byte }

func (k *keptOutput) Write(p []byte) (int, error) {
	k.text = append(k.text, p[:min(len(p), outputLimit-len(k.text))]...)
	return len(p), nil
}
