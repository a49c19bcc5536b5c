package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a stand-in for nerve and synapse that notes what happens to it.
// The real ones run in the image, which make test-cluster starts.
const program = `#!/bin/sh
name=${0##*/}
dir=${0%/*}
if [ "$1" = -k ]; then
	grep -q good "$3"
	exit
fi
trap 'echo "$name hup" >>"$dir/said"' HUP
trap 'echo "$name term" >>"$dir/said"; exit 0' TERM
echo "$name starts" >>"$dir/said"
echo $$ >"$dir/$name.pid"
while :; do
	sleep 0.05
done
`

type stage struct {
	*testing.T
	dir string
	log *os.File
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{T: t, dir: t.TempDir()}
	for _, name := range []string{"nerve", "synapse"} {
		s.write(name, program)
		s.write(name+".json", "good")
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() { _ = log.Close() })
	return s
}

func (s *stage) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(s.dir, name)) // empty = it is not there yet
	return string(data)
}

func (s *stage) run(ctx context.Context) int {
	return run(ctx, []string{
		"--programs", s.dir, "--nerve", filepath.Join(s.dir, "nerve.json"), "--synapse", filepath.Join(s.dir, "synapse.json"),
	}, os.Environ(), s.log, s.log)
}

func (s *stage) says(count int, words string) {
	s.Helper()
	servers.Eventually(s, func() error {
		if n := strings.Count(s.read("said"), words); n < count {
			return fmt.Errorf("%q was said %d times, want %d; %s\n%s", words, n, count, s.read("said"), s.read("log"))
		}
		return nil
	})
}

func TestCrew(t *testing.T) {
	s := newStage(t)
	code := make(chan int, 1)
	go func() { code <- s.run(t.Context()) }()
	s.says(1, "nerve starts")
	s.says(1, "synapse starts")
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	send := func(p *os.Process, sig syscall.Signal) {
		t.Helper()
		if err := p.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	send(self, syscall.SIGHUP)
	s.says(1, "nerve hup")
	s.says(1, "synapse hup")

	var pid int
	if _, err := fmt.Sscan(s.read("synapse.pid"), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.says(2, "synapse starts")

	send(self, syscall.SIGTERM)
	if got := <-code; got != exitOK {
		t.Errorf("exit code %d", got)
	}
	said := s.read("said")
	if n, m := strings.Index(said, "nerve term"), strings.Index(said, "synapse term"); n < 0 || m < n {
		t.Errorf("nerve ends before synapse, want: %s", said)
	}
	if log := s.read("log"); strings.Contains(log, "did not end in order") {
		t.Errorf("both have ended in order:\n%s", log)
	}
}

func TestRefusesToStart(t *testing.T) {
	s := newStage(t)
	s.write("synapse.json", "bad")
	if got := s.run(t.Context()); got != exitFault {
		t.Errorf("with a bad file: exit code %d", got)
	}
	if said := s.read("said"); said != "" {
		t.Errorf("something was started: %s", said)
	}
	for _, name := range []string{"nerve.json", "synapse.json"} {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.run(t.Context()); got != exitFault {
		t.Errorf("without a file: exit code %d", got)
	}
	if log := s.read("log"); !strings.Contains(log, "there is nothing to run") {
		t.Error(log)
	}
	for _, args := range []string{"--what", "more"} {
		if got := run(t.Context(), []string{args}, nil, s.log, s.log); got != exitUsage {
			t.Errorf("%s: exit code %d", args, got)
		}
	}
}
