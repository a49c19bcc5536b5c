package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sh(script string, env ...string) Command {
	return Command{Argv: []string{"sh", "-c", script}, Env: env}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		name       string
		command    Command
		code       int
		last, says string
	}{
		{"fine", sh("echo first; echo last; echo"), 0, "last", ""},
		{"exit status and both streams", sh("echo out; echo because >&2; exit 3"), 3, "because", "sh: exit status 3: because"},
		{"silent", sh("exit 1"), 1, "", "sh: exit status 1"},
		{"a signal", sh("kill -9 $$"), -1, "", "sh: signal: killed"},
		{"no such program", Command{Argv: []string{"no-such-program"}}, -1, "", "cannot run no-such-program: it is nowhere in /usr/local/sbin"},
		{"no such path", Command{Argv: []string{"/no/such/program"}}, -1, "", "cannot run /no/such/program: stat /no/such/program: no such file or directory"},
		{"not executable", Command{Argv: []string{"/etc/passwd"}}, -1, "", "cannot run /etc/passwd: permission denied"},
		{"nothing", Command{}, -1, "", "want a program"},
		{"usable environment", sh("echo $HOME $LANG $SHELL $X; command -v ls >/dev/null", "X=y"), 0, "/ C.UTF-8 /bin/sh y", ""},
		{"own PATH", Command{Argv: []string{"ls"}, Env: []string{"PATH=/nowhere"}}, -1, "", "nowhere in /nowhere"},
		{"control characters", sh(`printf 'a\033[31mb\001\377c'`), 0, "a [31mb  c", ""},
		{"a long line", sh("head -c 100000 /dev/zero | tr '\\0' x"), 0, strings.Repeat("x", shown) + " …", ""},
		{"arguments are no script", Command{Argv: []string{"echo", "$HOME", "a b"}}, 0, "$HOME a b", ""},
		{"a daemon keeps the pipe", sh("sleep 60 & echo started $!"), 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.command.Run(t.Context())
			if pid, ok := strings.CutPrefix(r.Last, "started "); ok {
				if n, err := strconv.Atoi(pid); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
				r.Last = ""
			}
			if r.Code != c.code || r.Last != c.last || (r.Err == nil) != (c.says == "") || r.Err != nil && !strings.Contains(r.Err.Error(), c.says) {
				t.Errorf("%d, %q, %v", r.Code, r.Last, r.Err)
			}
		})
	}
}

// Whatever it has started dies with it.
func TestDeadlineKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancelCause(t.Context())
	late := errors.New("too late")
	go func() {
		servers.Eventually(t, func() error {
			if data, _ := os.ReadFile(file); strings.Count(string(data), "\n") < 2 {
				return fmt.Errorf("the file holds %q", data)
			}
			return nil
		})
		cancel(late)
	}()
	r := sh("trap '' TERM; sleep 600 & echo $! >> " + file + "; echo $$ >> " + file + "; echo working; wait").Run(ctx)
	if !errors.Is(r.Err, late) || r.Last != "working" {
		t.Errorf("%q, %v", r.Last, r.Err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(string(data)) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		servers.Eventually(t, func() error {
			// A zombie waits for whoever reaps orphans here.
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n))
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				return fmt.Errorf("process %d still runs", n)
			}
			return nil
		})
	}
}

func TestCheckRunsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	if err := (Command{Argv: []string{"touch", file}}).Check(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran")
	}
	if err := (Command{Argv: []string{"no-such-program"}}).Check(); err == nil {
		t.Error("found what is not there")
	}
}

func FuzzLastLine(f *testing.F) {
	f.Add([]byte("a\nb\n"), []byte("\xff\x1b[2J"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var e end
		for _, p := range [][]byte{a, b, a} {
			if n, err := e.Write(p); n != len(p) || err != nil || len(e.text) > tail {
				t.Fatalf("%d, %v, %d bytes", n, err, len(e.text))
			}
		}
		line := e.lastLine()
		if len(line) > shown+len(" …") || strings.ContainsAny(line, "\n\r\x1b\x00") {
			t.Errorf("%q", line)
		}
	})
}
