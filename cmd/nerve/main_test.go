package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// TestMain lets the test binary stand in for nerve.
func TestMain(m *testing.M) {
	if os.Getenv("NERVE_TEST_RUN_MAIN") != "" {
		main()
	}
	if os.Getenv("NERVE_TEST_SERVE_TARGETS") != "" {
		serveTargets()
	}
	goleak.VerifyTestMain(m)
}

// process is a running nerve.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, nil, args...)
}

func startWith(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return startProgram(t, os.Args[0], env, args...)
}

func startProgram(t *testing.T, program string, env []string, args ...string) *process {
	t.Helper()
	n := &process{t: t, cmd: exec.Command(program, args...), out: &lockedBuffer{}, done: make(chan struct{})}
	n.cmd.Env = append([]string{"NERVE_TEST_RUN_MAIN=1", "PATH=" + os.Getenv("PATH")}, env...)
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.done)
		_ = n.cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.done
		if t.Failed() {
			t.Logf("nerve said:\n%s", n.out)
		}
	})
	return n
}

func (n *process) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code.
func (n *process) exit() int {
	<-n.done
	return n.cmd.ProcessState.ExitCode()
}

// says waits until the log holds text.
func (n *process) says(text string) {
	n.t.Helper()
	servers.Eventually(n.t, func() error {
		if !strings.Contains(n.out.String(), text) {
			return fmt.Errorf("the log does not say %q:\n%s", text, n.out)
		}
		return nil
	})
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// host is one host: a service that listens, a registry directory, a config.
type host struct {
	t        *testing.T
	registry string
	config   string
	port     int
	listener net.Listener
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	h := &host{t: t, registry: filepath.Join(dir, "registry"), config: filepath.Join(dir, "nerve.json"), port: servers.FreePort(t)}
	h.listen()
	t.Cleanup(func() { h.listener.Close() })
	h.write(h.text(1))
	return h
}

// text is a configuration that registers the service with a weight.
func (h *host) text(weight int) string {
	return fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {
		"host": "127.0.0.1", "port": %d, "weight": %d, "check_interval": 0.05,
		"reporter_type": "file", "path": %q, "refresh_interval": 0.1,
		"checks": [{"type": "tcp", "timeout": 10}]}}}`, h.port, weight, h.registry)
}

func (h *host) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.config, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) listen() {
	h.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", h.port))
	if err != nil {
		h.t.Fatal(err)
	}
	h.listener = l
}

func (h *host) file() string {
	return filepath.Join(h.registry, fmt.Sprintf("i-1_127.0.0.1_%d.json", h.port))
}

// registered waits until the registration has this weight; 0 waits until it
// is gone.
func (h *host) registered(weight int64) {
	h.t.Helper()
	servers.Eventually(h.t, func() error {
		data, err := os.ReadFile(h.file())
		switch {
		case weight == 0 && os.IsNotExist(err):
			return nil
		case err != nil:
			return err
		}
		b, err := service.DecodePayload(data)
		if err == nil && b.Weight.Value != weight {
			err = fmt.Errorf("registered as %s", data)
		}
		return err
	})
}

func TestLifeOfAService(t *testing.T) {
	h := newHost(t)
	n := start(t, "-c", h.config)
	h.registered(1)
	h.listener.Close()
	h.registered(0)
	n.says("connection refused")
	h.listen()
	h.registered(1)
	if err := os.Remove(h.file()); err != nil {
		t.Fatal(err)
	}
	h.registered(1) // by itself
	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	h.registered(0)
	n.says("terminated signal received")
}

func TestReload(t *testing.T) {
	h := newHost(t)
	n := start(t, "-c", h.config)
	h.registered(1)
	gone := h.watchForGaps()

	before, err := os.Stat(h.file())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`{"instance_id": "i-1", "services": {`,
		`{"instance_id": "i-1", "services": {"web": {"host": "127.0.0.1"}, "b": {"port": "x"}}}`,
		`{"services": {}}`,
	} {
		h.write(bad)
		told := strings.Count(n.out.String(), "the old one stays in force")
		n.signal(syscall.SIGHUP)
		servers.Eventually(t, func() error {
			if strings.Count(n.out.String(), "the old one stays in force") == told {
				return fmt.Errorf("no answer to a bad configuration:\n%s", n.out)
			}
			return nil
		})
	}
	n.says(`services.web: \"port\" is required`)
	n.says("services.b")

	h.write(h.text(1)) // what runs already
	n.signal(syscall.SIGHUP)
	n.says(`"kept":1`)
	if after, err := os.Stat(h.file()); err != nil || !os.SameFile(before, after) {
		t.Errorf("an unchanged service was registered again: %v", err)
	}
	for weight := range int64(5) {
		h.write(h.text(int(weight) + 2))
		n.signal(syscall.SIGHUP)
		h.registered(weight + 2)
	}
	if gaps := gone(); gaps > 0 {
		t.Errorf("the registration was missing in %d looks", gaps)
	}
	h.write(`{"instance_id": "i-1", "services": {}}`)
	n.signal(syscall.SIGHUP)
	h.registered(0)
	n.signal(syscall.SIGINT)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// watchForGaps looks at the registration all the time; the result ends that
// and tells how often it was missing.
func (h *host) watchForGaps() func() int {
	ctx, cancel := context.WithCancel(h.t.Context())
	gaps := make(chan int, 1)
	go func() {
		missing := 0
		for ctx.Err() == nil {
			if _, err := os.Stat(h.file()); err != nil {
				missing++
			}
		}
		gaps <- missing
	}()
	return func() int {
		cancel()
		return <-gaps
	}
}

func TestKillLeavesTheRegistration(t *testing.T) {
	h := newHost(t)
	n := start(t, "-c", h.config)
	h.registered(1)
	n.signal(syscall.SIGKILL)
	n.exit()
	h.registered(1) // until it is stale: see watchers/file
	// The next nerve finds the service dead and clears up.
	h.listener.Close()
	start(t, "-c", h.config)
	h.registered(0)
}

func TestExitCodeTellsWhatIsLeft(t *testing.T) {
	h := newHost(t)
	n := start(t, "-c", h.config)
	h.registered(1)
	servers.Eventually(t, func() error { // nerve may make the directory again in between
		return errors.Join(os.RemoveAll(h.registry), os.WriteFile(h.registry, nil, 0o644))
	})
	n.says("cannot report")
	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitLeft {
		t.Errorf("exit code %d, want %d", code, exitLeft)
	}
}

func TestHeartbeatAndConsole(t *testing.T) {
	h := newHost(t)
	beat := filepath.Join(t.TempDir(), "beat")
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "heartbeat_path": %q, "services": {"web": {
		"host": "127.0.0.1", "port": %d, "check_mocked": true, "checks": [{"type": "base"}],
		"reporters": [{"type": "console"}, {"type": "file", "path": %q}]}}}`, beat, h.port, h.registry))
	n := start(t, "-c", h.config)
	n.says(fmt.Sprintf(`{"up":true,"backend":{"host":"127.0.0.1","port":%d,"name":"i-1"}}`, h.port))
	servers.Eventually(t, func() error { _, err := os.Stat(h.file()); return err })
	servers.Eventually(t, func() error { _, err := os.Stat(beat); return err })
	n.signal(syscall.SIGTERM)
	n.says(`{"up":false,`)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
