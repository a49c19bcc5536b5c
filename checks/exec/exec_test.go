package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, o Options) *Check {
	t.Helper()
	o.Timeout = 1 // the contexts of the tests bound the time
	if o.Dir == "" {
		o.Dir = "/"
	}
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shell runs script in a folder of its own.
func shell(t *testing.T, script string) *Check {
	t.Helper()
	return build(t, Options{Command: []string{"sh", "-c", script}, Dir: t.TempDir()})
}

func TestResults(t *testing.T) {
	codes := []string{"1", "3-4"}
	for _, tc := range []struct {
		name     string
		command  []string
		want     string // in the reason; empty = healthy
		degraded bool
	}{
		{"passes", []string{"true"}, "", false},
		{"passes with words", []string{"sh", "-c", "echo all is well; echo no >&2"}, "", false},
		{"fails", []string{"sh", "-c", "exit 2"}, "sh: exit status 2", false},
		{"the last line counts", []string{"sh", "-c", "echo first; echo last >&2; echo; exit 2"}, "sh: exit status 2: last", false},
		{"degraded", []string{"sh", "-c", "echo slow; exit 1"}, "exit status 1: slow", true},
		{"degraded in a range", []string{"sh", "-c", "exit 4"}, "exit status 4", true},
		{"killed by a signal", []string{"sh", "-c", "kill -SEGV $$"}, "segmentation fault", false},
		{"no such file", []string{"/none"}, "no such file", false},
		{"no such program", []string{"no-such-program"}, "no-such-program: it is nowhere in /usr/local/sbin", false},
		{"no program", []string{"/etc/passwd"}, "permission denied", false},
		{"no text", []string{"sh", "-c", `printf '\033[31m\000\377'; exit 2`}, "exit status 2: [31m", false},
		{"much output", []string{"sh", "-c", "i=0; while [ $i -lt 2000 ]; do echo line number $i; i=$((i+1)); done; exit 2"}, "line number 1999", false},
		{"a long line", []string{"sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; exit 2"}, strings.Repeat("x", 300) + " …", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
			defer cancel()
			c := build(t, Options{Command: tc.command, Degraded: codes})
			for range 2 {
				err := c.Check(ctx)
				if tc.want == "" && err != nil {
					t.Fatalf("not healthy: %v", err)
				}
				if tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Fatalf("got %v, want %q in it", err, tc.want)
				}
				if _, degraded := service.AsDegraded(err); degraded != tc.degraded {
					t.Errorf("degraded is %v", degraded)
				}
			}
		})
	}
}

func TestDetail(t *testing.T) {
	for script, want := range map[string]string{
		"echo load 0.5; echo":   "exit status 0: load 0.5",
		"true":                  "exit status 0",
		"echo slow >&2; exit 3": "exit status 3: slow",
		"kill -9 $$":            "",
	} {
		c := shell(t, script)
		if got := c.Detail(); got != "" {
			t.Errorf("before the first run: %q", got)
		}
		_ = c.Check(t.Context())
		if got := c.Detail(); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// The command sees what it needs and nothing of nerve's.
func TestEnvironment(t *testing.T) {
	t.Setenv("NERVE_TEST_SECRET", "x")
	dir := t.TempDir()
	file := filepath.Join(dir, "more")
	if err := os.WriteFile(file, []byte("# of the check\nTOKEN=x = y\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := build(t, Options{
		Host: "10.0.0.1", Port: 80, Dir: dir, EnvFile: file, Command: []string{"sh", "-c", "pwd > out; env >> out; readlink /proc/self/fd/0 >> out"},
		Env: config.Map[string]{{Key: "A", Value: "b c"}, {Key: "LANG", Value: "de"}},
	})
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		got[strings.TrimSpace(line)] = true
	}
	for _, want := range []string{dir, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LANG=de", "NERVE_HOST=10.0.0.1", "NERVE_PORT=80", "A=b c", "TOKEN=x = y", "/dev/null"} {
		if !got[want] {
			t.Errorf("%q is missing in %q", want, out)
		}
	}
	if strings.Contains(string(out), "SECRET") || got["LANG=C.UTF-8"] {
		t.Errorf("too much: %q", out)
	}
	if err := os.WriteFile(file, []byte("A=b\npa55word\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(t.Context()); err == nil || err.Error() != "env_file: "+file+", line 2: want NAME=value" {
		t.Errorf("got %v", err)
	}
}

func TestProgramsAreFoundInTheCommandsPath(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("#!/bin/sh\nexit 0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := build(t, Options{Command: []string{"mine"}, Env: config.Map[string]{{Key: "PATH", Value: "/none:" + dir}}})
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A command that hangs is killed with everything that it has started.
func TestTimeoutKillsTheGroup(t *testing.T) {
	for name, script := range map[string]string{
		"waits":                 "sleep 1000 & echo $! > pid; echo hanging; wait",
		"ignores TERM":          "trap '' TERM INT HUP; sleep 1000 & echo $! > pid; echo hanging; wait",
		"prints without end":    "sleep 1000 & echo $! > pid; while :; do echo hanging; done",
		"has closed its output": "exec >&- 2>&-; sleep 1000 & echo $! > pid; wait",
	} {
		t.Run(name, func(t *testing.T) {
			c := shell(t, script)
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- c.Check(ctx) }()
			child := await(t, filepath.Join(c.o.Dir, "pid"))
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "killed") {
				t.Errorf("got %v", err)
			}
			gone(t, child)
		})
	}
}

func TestDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := build(t, Options{Command: []string{"sleep", "1000"}}).Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := build(t, Options{Command: []string{"true"}}).Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: got %v", err)
	}
}

// What a command leaves behind would be a little more with each check.
func TestLeftoversAreKilled(t *testing.T) {
	c := shell(t, "sleep 1000 & echo $! > pid")
	if err := c.Check(t.Context()); err != nil {
		t.Error(err)
	}
	gone(t, await(t, filepath.Join(c.o.Dir, "pid")))
}

// A daemon that the command has started on purpose lives on, and must not hold
// up the check, whose output it keeps open.
func TestDaemonsDoNotHoldUp(t *testing.T) {
	c := shell(t, "setsid sh -c 'echo $$ > pid; exec sleep 1000' & while [ ! -s pid ]; do :; done; echo started; exit 2")
	err := c.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 2: started") {
		t.Errorf("got %v", err)
	}
	daemon := await(t, filepath.Join(c.o.Dir, "pid"))
	if err := syscall.Kill(daemon, 0); err != nil {
		t.Errorf("the daemon is gone: %v", err)
	}
	_ = syscall.Kill(daemon, syscall.SIGKILL)
	gone(t, daemon)
}

// await reads a process id that a command writes.
func await(t *testing.T, file string) (pid int) {
	t.Helper()
	servers.Eventually(t, func() error {
		text, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	return pid
}

// gone waits until a process has ended; nobody may have collected it.
func gone(t *testing.T, pid int) {
	t.Helper()
	servers.Eventually(t, func() error {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // none when it is gone
		if len(stat) == 0 || strings.Contains(string(stat), ") Z ") {
			return nil
		}
		return fmt.Errorf("process %d is still there: %s", pid, stat)
	})
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"timeout":              {Command: []string{"true"}},
		"command: want a prog": {Timeout: 1},
		"for a shell write":    {Timeout: 1, Command: []string{"test -e /x"}},
		"degraded_codes":       {Timeout: 1, Command: []string{"true"}, Degraded: []string{"0"}},
		"is no variable":       {Timeout: 1, Command: []string{"true"}, Env: config.Map[string]{{Key: "a=b"}}},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}
