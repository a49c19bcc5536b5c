// Package exec runs a command: healthy is exit code 0. The last line that the
// command prints is the reason.
//
//	{"type": "exec", "command": ["/usr/lib/nagios/plugins/check_load", "-w", "8"], "degraded_codes": "1", "timeout": 5}
//	{"type": "exec", "command": ["sh", "-c", "test $(wc -l < /run/queue) -lt 100"]}
//
// The command gets a small environment of its own, not nerve's. At its timeout
// it is killed with everything that it has started, and the same happens to
// what it leaves behind.
package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"smartstack/internal/command"
	"smartstack/internal/config"
	"smartstack/internal/ranges"
	"smartstack/internal/secret"
	"smartstack/internal/service"
)

// Options are the check's keys.
type Options struct {
	Host     string             `cfg:"host" doc:"The command's NERVE_HOST; the service's host when absent."`
	Port     int                `cfg:"port" doc:"The command's NERVE_PORT; the service's port when absent."`
	Command  []string           `cfg:"command,required" doc:"Program and arguments, as a list; no shell is involved."`
	Env      config.Map[string] `cfg:"env" doc:"Variables for the command, beside PATH, HOME, LANG, SHELL, NERVE_HOST and NERVE_PORT."`
	EnvFile  string             `cfg:"env_file" doc:"File with more of them, NAME=value in a line. It must not be readable for everybody, and is read at each run."`
	Dir      string             `cfg:"directory" default:"/" doc:"Working directory of the command."`
	Degraded []string           `cfg:"degraded_codes" doc:"Exit codes, or ranges of them, that mean degraded; 1 for the plugins of Nagios."`
	Timeout  config.Seconds     `cfg:"timeout" default:"1" doc:"Time until the command is killed, in seconds."`
}

// Check is one command.
type Check struct {
	o        Options
	command  command.Command
	degraded ranges.Set
	last     atomic.Pointer[command.Result] // for the status
}

// New returns a check; it does not run the command.
func New(o Options, _ *slog.Logger) (*Check, error) {
	if o.Timeout <= 0 {
		return nil, errors.New("timeout: want more than 0 seconds")
	}
	if len(o.Command) == 0 || o.Command[0] == "" {
		return nil, errors.New("command: want a program and its arguments as a list")
	}
	if len(o.Command) == 1 && strings.ContainsAny(o.Command[0], " \t|;&<>$") {
		return nil, fmt.Errorf("command: want a list of words, got %q; for a shell write [\"sh\", \"-c\", \"…\"]", o.Command[0])
	}
	c := &Check{o: o, command: command.Command{
		Argv: o.Command, Dir: o.Dir, Sweep: true,
		Env: []string{"NERVE_HOST=" + o.Host, "NERVE_PORT=" + strconv.Itoa(o.Port)},
	}}
	var err error
	if c.degraded, err = ranges.Parse(o.Degraded, 1, 255); err != nil {
		return nil, fmt.Errorf("degraded_codes: %w", err)
	}
	for _, v := range o.Env {
		if v.Key == "" || strings.ContainsAny(v.Key, "=\x00") || strings.ContainsRune(v.Value, 0) {
			return nil, fmt.Errorf("env: %q is no variable", v.Key)
		}
		c.command.Env = append(c.command.Env, v.Key+"="+v.Value) // of two with one name the later counts
	}
	return c, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// unkillable is how long a killed command may take to go: one that waits for
// a dead disk cannot go.
const unkillable = time.Second

// Check runs the command once.
func (c *Check) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	run := c.command
	if c.o.EnvFile != "" {
		more, err := readEnv(c.o.EnvFile)
		if err != nil {
			return fmt.Errorf("env_file: %w", err)
		}
		run.Env = slices.Concat(run.Env, more)
	}
	over := make(chan command.Result, 1)
	go func() { over <- run.Run(ctx) }()
	select {
	case r := <-over:
		return c.judge(r)
	case <-ctx.Done():
	}
	timer := time.NewTimer(unkillable)
	defer timer.Stop()
	select {
	case r := <-over:
		return c.judge(r)
	case <-timer.C:
		return fmt.Errorf("%s: %w, and cannot be killed: it waits inside the system", c.o.Command[0], ctx.Err())
	}
}

// Detail tells how the last run has ended.
func (c *Check) Detail() string {
	r := c.last.Load()
	switch {
	case r == nil || r.Code < 0:
		return ""
	case r.Last == "":
		return fmt.Sprintf("exit status %d", r.Code)
	default:
		return fmt.Sprintf("exit status %d: %s", r.Code, r.Last)
	}
}

// readEnv reads variables. Its errors show no value, nor what may be one.
func readEnv(path string) ([]string, error) {
	text, err := secret.Read(path)
	if err != nil {
		return nil, err
	}
	var env []string
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimRight(line, "\r\n"); line == "" || line[0] == '#' {
			continue
		}
		if name, _, ok := strings.Cut(line, "="); !ok || name == "" || strings.Contains(name, " ") || strings.ContainsRune(line, 0) {
			return nil, fmt.Errorf("%s, line %d: want NAME=value", path, number)
		}
		env = append(env, line)
	}
	return env, nil
}

// Validate is called by the decoder.
func (o *Options) Validate(n *config.Node, r *config.Report) { r.KeepSecrets(n.Get("env")) }

func (c *Check) judge(r command.Result) error {
	c.last.Store(&r)
	if r.Err != nil && c.degraded.Has(r.Code) {
		return service.Degraded{Reason: r.Err.Error()}
	}
	return r.Err
}
