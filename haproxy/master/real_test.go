package master

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/test/servers"
)

func TestReloadsLoseNothing(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	r.serves()
	r.awaitStatus(serving)
	sent, stop := r.hammer(4)
	for i := range 20 {
		r.write(fmt.Sprintf("# change %d\n", i))
		before := r.master.Status().Current
		if err := r.reload(); err != nil {
			t.Errorf("reload %d: %v", i, err)
		}
		if after := r.master.Status().Current; len(after) != 1 || after[0] == before[0] {
			t.Errorf("reload %d: workers %v, then %v", i, before, after)
		}
	}
	if errs := stop(); len(errs) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(errs), sent.Load(), errs[0])
	}
	if s := r.master.Status(); s.Reloads != 20 || s.Starts != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestBadFileIsReportedAndTheWorkerStays(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	r.serves()
	worker := r.awaitStatus(serving).Current[0]
	sent, stop := r.hammer(2)
	for range 2 { // the second time the master waits in its wait mode already
		r.write("\tno-such-keyword here\n")
		err := r.reload()
		if err == nil || !strings.Contains(err.Error(), "no-such-keyword") {
			t.Fatalf("got %v, want HAProxy's words", err)
		}
		if s := r.master.Status(); s.Current[0] != worker {
			t.Errorf("the worker was %d, status %+v", worker, s)
		}
	}
	r.write("")
	if err := r.reload(); err != nil {
		t.Errorf("a good file after bad ones: %v", err)
	}
	if s := r.master.Status(); s.Current[0] == worker {
		t.Error("no new worker")
	}
	if errs := stop(); len(errs) > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", len(errs), sent.Load(), errs[0])
	}
}

func TestKilledIsStartedAgain(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	r.serves()
	for i, victim := range []func(Status) int{
		func(s Status) int { return s.Current[0] },
		func(s Status) int { return s.PID },
		func(s Status) int { return s.PID },
	} {
		was := r.awaitStatus(serving)
		if err := syscall.Kill(victim(was), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		now := r.awaitStatus(func(s Status) bool { return serving(s) && s.PID != was.PID })
		if now.Starts != i+2 {
			t.Errorf("status %+v", now)
		}
		r.serves()
	}
	r.awaitLog("HAProxy has ended and is started again")
	r.awaitLog("signal: killed")
	r.awaitLog("exited with code 137") // HAProxy's words about its worker
}

// A stopped worker keeps its listening sockets and does not hand them over.
func TestStoppedWorker(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	r.serves()
	worker := r.awaitStatus(serving).Current[0]
	servers.Freeze(t, worker)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	r.awaitStatus(func(s Status) bool { return serving(s) && s.Current[0] != worker && len(s.Old) == 0 })
	r.serves()
}

func TestPortInUse(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
	if err != nil {
		t.Fatal(err)
	}
	r.write("")
	r.run()
	r.awaitLog("HAProxy cannot be started")
	r.awaitLog("Address already in use")
	err = r.reload()
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(r.port)) {
		t.Errorf("a reload says %v, want the port", err)
	}
	l.Close()
	r.serves()
}

func TestFileAppears(t *testing.T) {
	r := newRig(t)
	r.run()
	r.awaitLog("as soon as its file is there")
	if err := r.reload(); err == nil || !strings.Contains(err.Error(), "not there yet") {
		t.Errorf("a reload without a file: %v", err)
	}
	r.write("")
	if err := r.reload(); err != nil {
		t.Errorf("a reload with the first file: %v", err)
	}
	if err := r.get(); err != nil {
		t.Errorf("after the reload: %v", err)
	}
}

func TestNoProgram(t *testing.T) {
	r := newRig(t)
	r.options.Path = filepath.Join(r.dir, "no-such-haproxy")
	r.write("")
	r.run()
	r.awaitLog("no-such-haproxy")
}

func TestOldWorkersLeave(t *testing.T) {
	r := newRig(t)
	r.extra = "\thard-stop-after 1s\n"
	r.write("")
	r.run()
	r.serves()
	hold(t, r)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if current, old := r.master.Workers(); current != 1 || old != 1 {
		t.Errorf("%d current and %d old workers, want 1 and 1", current, old)
	}
	r.awaitStatus(func(s Status) bool { return serving(s) && len(s.Old) == 0 })
}

// Where the file has no hard-stop-after, we end old workers.
func TestOldWorkersAreEnded(t *testing.T) {
	r := newRig(t)
	r.options.HardStopAfter = 100 * time.Millisecond
	r.write("")
	r.run()
	r.serves()
	hold(t, r)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	r.awaitLog("leaving for too long")
	s := r.awaitStatus(func(s Status) bool { return serving(s) && len(s.Old) == 0 })
	if s.Starts != 1 {
		t.Errorf("HAProxy was started again: %+v", s)
	}
	r.serves()
}

// hold opens a connection that does not come to an end.
func hold(t *testing.T, r *rig) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url("/slow"), nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	answer, err := transport.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		answer.Body.Close()
		transport.CloseIdleConnections()
	})
}

// killed is a supervisor that was killed -9 while HAProxy served.
func killed(t *testing.T, r *rig) (master int) {
	t.Helper()
	r.write("")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childConfig+"="+r.config)
	out, err := os.Create(filepath.Join(r.dir, "child.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	child.Stdout, child.Stderr = out, out
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	r.serves()
	o, err := r.options.Complete()
	if err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		e, ok := o.noted()
		if !ok {
			return os.ErrNotExist
		}
		master = e.pid
		return nil
	})
	// A master that still starts itself anew ends when its directory goes.
	servers.AwaitMasterSocket(t, filepath.Join(Directory(r.config), "master.sock"))
	if err := syscall.Kill(-child.Process.Pid, syscall.SIGKILL); err != nil { // the whole group
		t.Fatal(err)
	}
	_ = child.Wait()
	if err := r.get(); err != nil {
		t.Fatalf("HAProxy without its supervisor: %v", err)
	}
	return master
}

func TestKilledSupervisorIsSucceeded(t *testing.T) {
	for name, spoil := range map[string]func(r *rig, dir string){
		"everything there":         func(*rig, string) {},
		"no pid file":              func(r *rig, dir string) { r.remove(dir, pidFile) },
		"another's pid":            func(r *rig, dir string) { r.put(dir, pidFile, "1 1 x\n") },
		"our own pid":              func(r *rig, dir string) { r.put(dir, pidFile, fmt.Sprintf("%d 1 %s\n", os.Getpid(), bootID())) },
		"garbage in the pid file":  func(r *rig, dir string) { r.put(dir, pidFile, "\x00\xff") },
		"no socket":                func(r *rig, dir string) { r.remove(dir, "master.sock") },
		"neither pid nor socket":   func(r *rig, dir string) { r.remove(dir, "master.sock"); r.remove(dir, pidFile) },
		"the whole directory gone": func(r *rig, dir string) { _ = os.RemoveAll(dir) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			master := killed(t, r)
			spoil(r, Directory(r.config))
			sent, stop := r.hammer(2)
			r.run()
			s := r.awaitStatus(serving)
			if s.PID != master || !s.Adopted || s.Starts != 0 {
				t.Errorf("HAProxy was %d, status %+v", master, s)
			}
			if err := r.reload(); err != nil {
				t.Errorf("reload: %v", err)
			}
			if now := r.master.Status(); now.Current[0] == s.Current[0] {
				t.Errorf("workers %v, then %v", s.Current, now.Current)
			}
			if errs := stop(); len(errs) > 0 {
				t.Errorf("%d of %d requests failed, the first: %v", len(errs), sent.Load(), errs[0])
			}
			if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			r.awaitStatus(func(s Status) bool { return serving(s) && s.PID != master && !s.Adopted })
			r.serves()
		})
	}
}

func (r *rig) remove(dir, name string) {
	r.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) put(dir, name, text string) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

// A worker that hangs while its master and our predecessor die goes on
// listening: it must be out of the way before the next HAProxy starts.
func TestHangingOrphanIsKilled(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	s := r.awaitStatus(serving)
	servers.Freeze(t, s.Current[0])
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.awaitLog("a worker of HAProxy hangs")
	r.awaitStatus(func(now Status) bool { return serving(now) && now.PID != s.PID })
	r.serves()
}

// Somebody else's HAProxy with the same file would share the connections.
func TestNoSecondHAProxy(t *testing.T) {
	r := newRig(t)
	r.write("")
	other := servers.HAProxy(t, r.config, fmt.Sprintf("127.0.0.1:%d", r.port))
	r.run()
	r.awaitLog("started by somebody else")
	if s := r.master.Status(); s.Starts != 0 {
		t.Errorf("status %+v", s)
	}
	other.Terminate()
	r.awaitStatus(serving)
}

func TestTwoSupervisors(t *testing.T) {
	r := newRig(t)
	r.write("")
	r.run()
	first := r.awaitStatus(serving)
	second := &rig{T: t, dir: r.dir, config: r.config, port: r.port, options: r.options}
	second.run()
	second.awaitLog("is locked")
	r.end()
	servers.Eventually(t, func() error { // it waits for up to longestDelay; a request wakes it
		_ = second.reload()
		if s := second.master.Status(); s.PID != first.PID {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

func TestExit(t *testing.T) {
	for _, tt := range []struct {
		exit  Exit
		ended bool
	}{{Leave, false}, {Graceful, true}, {Terminate, true}} {
		t.Run(fmt.Sprint(tt.exit), func(t *testing.T) {
			r := newRig(t)
			r.options.Exit, r.options.StopLimit = tt.exit, time.Second
			r.write("")
			r.run()
			s := r.awaitStatus(serving)
			if tt.exit == Graceful {
				hold(t, r) // has to be cut
			}
			r.end()
			e, err := readEntry(s.PID)
			if ended := err != nil || e.dead(); ended != tt.ended {
				t.Errorf("HAProxy has ended: %v, want %v", ended, tt.ended)
			}
		})
	}
}
