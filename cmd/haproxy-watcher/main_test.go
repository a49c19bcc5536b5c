package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"smartstack/test/servers"
)

// TestLife goes through a day of it: no file, a file, better ones under
// traffic, bad ones, and crashes of HAProxy.
func TestLife(t *testing.T) {
	s := newStage(t)
	s.start("--interval", "0")
	s.says("runs with the built-in file")
	if code, said := s.health(); code != exitOK || !strings.Contains(said, `"serving": true`) {
		t.Fatalf("%d: %s", code, said)
	}
	s.put(s.config("0"))
	s.serves("0")

	stop := s.hammer(4)
	for n := 1; n <= 5; n++ {
		s.put(s.config(fmt.Sprint(n)))
		s.serves(fmt.Sprint(n))
	}
	s.put("nonsense\n")
	s.says("unknown keyword 'nonsense'")
	if sent, failed := stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed over reloads, such as %v", len(failed), sent, failed[0])
	}

	// A port that somebody else has: the check cannot know.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.put(s.config("taken") + fmt.Sprintf("frontend more\n\tbind %s\n\tdefault_backend web\n", l.Addr()))
	s.says("another program has the port")
	s.serves("5")
	s.put(s.config("6"))
	s.serves("6")

	// A file without any service is right, too.
	s.put("defaults\n\tmode http\n")
	servers.Eventually(t, func() error {
		if _, err := s.mark(); err == nil {
			return errors.New("the service is still there")
		}
		return nil
	})
	s.put(s.config("7"))
	s.serves("7")

	for _, kill := range []string{"worker", "master"} {
		s.loaded() // HAProxy is not killed in the middle of a reload: TestJudge knows that
		var master int
		var workers []int
		servers.Eventually(t, func() error {
			if master, workers = s.pids(); len(workers) == 0 {
				return errors.New("the master does not answer")
			}
			return nil
		})
		victim := master
		if kill == "worker" {
			victim = workers[0]
		}
		_ = syscall.Kill(victim, syscall.SIGKILL)
		servers.Eventually(t, func() error {
			if now, _ := s.pids(); now == 0 || now == master {
				return fmt.Errorf("after %s %d was killed the master is %d", kill, victim, now)
			}
			return nil
		})
		s.serves("7")
	}
	servers.Eventually(t, func() error {
		if code, said := s.health(); code != exitOK {
			return errors.New(said)
		}
		return nil
	})
}

// TestGracefulEnd lets an open request come to its end.
func TestGracefulEnd(t *testing.T) {
	s := newStage(t)
	s.put(s.config("0"))
	s.start("--stop-limit", "1m")
	s.serves("0")
	r, err := s.openSlow()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	s.signal(syscall.SIGTERM)
	servers.Eventually(t, func() error {
		if _, err := s.mark(); err == nil {
			return errors.New("it still takes connections")
		}
		return nil
	})
	close(s.slow)
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil || body.String() != "hello" {
		t.Errorf("%q, %v", body.String(), err)
	}
	s.awaitEnd()
	if s.exited != nil {
		t.Error(s.exited)
	}
}

// TestQuickEnd does not wait for anybody, not even after it began to.
func TestQuickEnd(t *testing.T) {
	s := newStage(t)
	s.put(s.config("0"))
	s.start("--stop-limit", "1h")
	s.serves("0")
	defer close(s.slow)
	r, err := s.openSlow()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	s.signal(syscall.SIGTERM)
	servers.Eventually(t, func() error {
		if _, err := s.mark(); err == nil {
			return errors.New("it still takes connections")
		}
		return nil
	})
	s.signal(syscall.SIGINT)
	s.awaitEnd()
	if s.exited != nil {
		t.Error(s.exited)
	}
	if code, _ := s.health(); code != exitFault {
		t.Errorf("health says %d after the end", code)
	}
}

func TestUsage(t *testing.T) {
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for args, want := range map[string]int{
		"--help": exitOK, "--version": exitOK, "--what": exitUsage, "a b": exitUsage,
		"--haproxy /not/there --run-dir /tmp/" + strings.Repeat("x", 100): exitFault,
		"health --run-dir": exitUsage, "--run-dir /not/there health": exitFault, "--log-format x": exitUsage,
	} {
		var said bytes.Buffer
		if got := run(context.Background(), strings.Fields(args), nil, out, &said); got != want {
			t.Errorf("%s: exit code %d, want %d: %s", args, got, want, said.String())
		}
	}
}
