// Package servers starts the real servers that tests need (HAProxy, ZooKeeper,
// etcd, databases, from Debian's packages) as processes of their own in the test's
// scratch folder, and stops them with the test. Where a program is missing the
// test is skipped, unless REQUIRE_SERVERS is set: then it fails.
//
//	zk := servers.ZooKeeper(t)
//	conn := dial(zk.Addr)
//	zk.Stop()  // kill -9, as a crash would
//	zk.Start() // same port, same data
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Deadline is how long Eventually and the start of a server may take. It is a
// bound for a hanging test, not an expectation.
const Deadline = 30 * time.Second

// Process is one real server. Its methods fail the test on an error.
type Process struct {
	Addr string // host:port of the service it offers
	Dir  string // its scratch folder, data and log inside

	tb    testing.TB
	name  string
	argv  []string
	env   []string
	ready func(addr string) error
	slow  bool                // takes longer to start than Deadline on a busy machine
	user  *syscall.Credential // nil = as the test

	cmd  *exec.Cmd
	gone chan struct{}
}

// Start starts the server and returns when it answers.
func (p *Process) Start() {
	p.tb.Helper()
	logFile, err := os.OpenFile(filepath.Join(p.Dir, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer logFile.Close()
	p.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.Dir, logFile, logFile
	// The server must not outlive a test binary that is killed, nor get the terminal's ctrl-C.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true, Credential: p.user}
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatalf("%s: %v", p.name, err)
	}
	p.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // how it ended is in its log
		close(gone)
	}(p.cmd, p.gone)
	p.awaitReady()
}

// Launch starts the server without waiting for an answer, as for a member of an
// ensemble that has none to give alone.
func (p *Process) Launch() {
	p.tb.Helper()
	ready := p.ready
	p.ready = func(string) error { return nil }
	p.Start()
	p.ready = ready
}

func (p *Process) awaitReady() {
	p.tb.Helper()
	var last error
	limit := Deadline
	if p.slow {
		limit *= 4
	}
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if last = p.ready(p.Addr); last == nil {
			return
		}
		select {
		case <-p.gone:
			p.tb.Fatalf("%s ended at once: %s", p.name, p.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.tb.Fatalf("%s does not answer: %v\n%s", p.name, last, p.Log())
}

// Stop kills the server as a crash would, and waits until it is gone.
func (p *Process) Stop() { p.end(syscall.SIGKILL) }

// Terminate asks the server to end, and waits until it is gone.
func (p *Process) Terminate() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, sig) // the whole group: workers too
	select {
	case <-p.gone:
	case <-time.After(Deadline):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.gone
	}
}

// Wipe takes what the stopped server has stored: the next start finds nothing.
func (p *Process) Wipe() {
	p.tb.Helper()
	if err := os.RemoveAll(filepath.Join(p.Dir, "data")); err != nil {
		p.tb.Fatal(err)
	}
}

// Pause stops the server's processes without ending them, as a hang would. It
// returns when all of them stand.
func (p *Process) Pause() {
	p.tb.Helper()
	p.Signal(syscall.SIGSTOP)
	Eventually(p.tb, func() error { return standing(func(_, group int) bool { return group == p.PID() }) })
}

// Resume lets the processes go on after Pause.
func (p *Process) Resume() { p.Signal(syscall.SIGCONT) }

// Signal sends sig to the server and all its children.
func (p *Process) Signal(sig syscall.Signal) {
	p.tb.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		p.tb.Fatalf("%s: signal %v: %v", p.name, sig, err)
	}
}

// PID returns the process id of the server's first process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the server's process has ended.
func (p *Process) Done() <-chan struct{} { return p.gone }

// Log returns the end of what the server has printed.
func (p *Process) Log() string {
	data, _ := os.ReadFile(filepath.Join(p.Dir, p.name+".log"))
	return string(data[max(0, len(data)-8000):])
}

// Program starts a program of ours (or of the test's) as a Process whose output
// goes into its log. It is not awaited: use Eventually for what it should do.
func Program(tb testing.TB, name string, argv ...string) *Process {
	tb.Helper()
	return launch(tb, &Process{
		Dir: tb.TempDir(), name: name, argv: argv,
		ready: func(string) error { return nil },
	})
}

// launch registers the clean-up and starts p.
func launch(tb testing.TB, p *Process) *Process {
	tb.Helper()
	p.tb = tb
	tb.Cleanup(func() {
		if p.cmd != nil {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) // a paused process cannot end
			p.Stop()
		}
	})
	p.Start()
	return p
}

// need returns the path of the first of the programs that is installed, and
// skips or fails the test when there is none.
func need(tb testing.TB, pkg string, programs ...string) string {
	tb.Helper()
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(tb, pkg)
	return ""
}

// Missing skips the test for want of a Debian package, or fails it where
// REQUIRE_SERVERS says that nothing may be skipped.
func Missing(tb testing.TB, pkg string) {
	tb.Helper()
	if os.Getenv("REQUIRE_SERVERS") != "" {
		tb.Fatalf("the Debian package %s is not installed, and REQUIRE_SERVERS is set", pkg)
	}
	tb.Skipf("the Debian package %s is not installed", pkg)
}

// FreePort returns a loopback TCP port that nothing listens on, and that is the
// test's own until its end: no other test gets it, in no process, and no
// connection has it as its near end.
func FreePort(tb testing.TB) int {
	tb.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(6000) // below what the system gives to connections
		// An abstract unix socket lives as long as its process, so it is a claim
		// that nobody has to clean up.
		claim, err := net.Listen("unix", fmt.Sprintf("@smartstack-test-port-%d", port))
		if err != nil {
			continue // another test's
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			_ = claim.Close()
			continue // some other program's
		}
		_ = l.Close()
		tb.Cleanup(func() { _ = claim.Close() })
		return port
	}
	tb.Fatal("no TCP port from 10000 to 15999 is free")
	return 0
}

// Eventually polls condition until it returns nil, and fails the test with its
// last error at the deadline.
func Eventually(tb testing.TB, condition func() error) {
	tb.Helper()
	Within(tb, Deadline, condition)
}

// Within is Eventually with a deadline of its own, for what is much work.
func Within(tb testing.TB, limit time.Duration, condition func() error) {
	tb.Helper()
	var err error
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = condition(); err == nil {
			return
		}
	}
	tb.Fatalf("still not so after %v: %v", limit, err)
}

// Run runs a command to its end and returns its output.
func Run(tb testing.TB, name string, args ...string) (string, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Deadline)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %v: %w: %s", name, args, err, out.String())
	}
	return out.String(), err
}

// accepts is ready when addr accepts a connection.
func accepts(addr string) error {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

var errNotYet = errors.New("not ready yet")
