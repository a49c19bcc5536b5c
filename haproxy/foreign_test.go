package haproxy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// Who changes the file while no synapse runs has changed nothing in HAProxy: no
// server is taken for another one, and a reload makes sure.
func TestFileChangedByHandWhileSynapseIsAway(t *testing.T) {
	st := newStory(t, 2)
	st.options.DoSocket = true // and the reload command is true: it takes effect when we say so
	st.open()
	st.want(0, 1)
	applied := func() {
		t.Helper()
		servers.Eventually(t, func() error {
			st.apply(st.now)
			if s := st.out.Status(); s.Written != st.rev || s.Applied != st.rev || len(s.Waiting) > 0 || len(s.Faults) > 0 {
				return fmt.Errorf("status %+v", s)
			}
			return nil
		})
	}
	servers.Eventually(t, func() error { // no HAProxy yet
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Reloads == 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.haproxy = servers.HAProxy(t, st.file, st.addr)
	st.open()
	st.want(0, 1)
	st.await(0, 1)
	applied()
	if s := st.out.Status(); s.Reloads != 0 {
		t.Fatalf("%d reloads: %v", s.Reloads, s.LastReload.Reasons)
	}

	st.close()
	good := st.read()
	if err := os.WriteFile(st.file, []byte(strings.ReplaceAll(good, "server m1_", "server x_")), 0o644); err != nil {
		t.Fatal(err)
	}
	was := workerOf(t, st.options.SocketFilePath[0])
	st.log.Reset()
	st.open()
	// As long as nobody knows the members, the file may say what it says.
	st.rev++
	unknown := service.Snapshot{Rev: st.rev, Services: []*service.Service{{Name: "web", Rev: st.rev, Origin: service.Unknown}}}
	servers.Eventually(t, func() error {
		st.apply(unknown)
		if s := st.out.Status(); s.Written != st.rev {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.apply(unknown)
	if s := st.out.Status(); s.Reloads != 0 || !strings.Contains(st.read(), "server x_") {
		t.Errorf("status %+v", s)
	}
	st.open() // and the next synapse must not take it for its own
	st.want(0, 1)
	applied()
	if got := st.read(); strings.Contains(got, "server x_") {
		t.Errorf("the file:\n%s", got)
	}
	s := st.out.Status()
	if s.Reloads != 1 || !strings.Contains(strings.Join(s.LastReload.Reasons, " "), "somebody else has changed the file") {
		t.Errorf("%d reloads: %v", s.Reloads, s.LastReload.Reasons)
	}

	// The ids are others than before, which is no reason to replace servers of the
	// process that is about to end.
	m := st.out.memory
	m.lastReload.At = time.Now().Add(time.Hour)
	m.runtime.procs[0].nextCompare = time.Time{}
	st.apply(st.now)
	if text := st.log.String(); strings.Contains(text, "changed HAProxy over its socket") {
		t.Fatalf("servers are changed:\n%s", text)
	}
	if err := syscall.Kill(st.haproxy.PID(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}

	// Then the next synapse finds everything in order.
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if now := workerOf(t, st.options.SocketFilePath[0]); now == was || now == 0 {
			return fmt.Errorf("HAProxy is still process %d", was)
		}
		return nil
	})
	applied()
	st.open()
	st.want(0, 1)
	applied()
	if s := st.out.Status(); s.Reloads != 0 {
		t.Errorf("%d reloads: %v", s.Reloads, s.LastReload.Reasons)
	}
}

// A file that was only touched says nothing about what HAProxy runs: whoever
// touched it may have restarted HAProxy with another one.
func TestFileTouchedAndHAProxyWithAnOldOneWhileSynapseIsAway(t *testing.T) {
	st := newStory(t, 2)
	st.options.DoSocket = true
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error { // no HAProxy yet
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Reloads == 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.close()
	good := []byte(st.read())
	old := filepath.Join(t.TempDir(), "old.cfg")
	for name, text := range map[string][]byte{old: regexp.MustCompile(`(server m1_.*)`).ReplaceAll(good, []byte("$1 maxconn 7")), st.file: good} {
		_ = os.Remove(name)
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	st.haproxy = servers.HAProxy(t, old, st.addr)
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Reloads != 1 || !strings.Contains(strings.Join(s.LastReload.Reasons, " "), "has not loaded the file") {
			return fmt.Errorf("%d reloads: %v", s.Reloads, s.LastReload.Reasons)
		}
		return nil
	})
}

// workerOf returns the pid of the HAProxy behind a socket; 0 = it does not
// answer.
func workerOf(t *testing.T, path string) int {
	c := socket.New(path)
	defer c.Close()
	return pidOf(t.Context(), c)
}
