// Package machine makes containers that act as Debian hosts: a bare one to
// install packages in, and one that systemd runs. They are removed with the
// test. It needs a Docker engine on this host; test/scripts/engine.sh tells.
package machine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// Images of Debian, as docker/base-images.sh makes them.
const (
	Trixie   = "debian:trixie-slim"
	Bookworm = "debian:bookworm-slim"
)

// Machine is one container.
type Machine struct {
	Name string // of the container, and of the host

	tb testing.TB
}

// Bare starts a container of image in which nothing runs.
func Bare(tb testing.TB, image string) *Machine {
	tb.Helper()
	base(tb, image)
	return start(tb, "--init", image, "sleep", "infinity")
}

// Host starts a Debian host that systemd runs, on the network if one is named.
// flags are further ones for docker run.
func Host(tb testing.TB, flags ...string) *Machine {
	tb.Helper()
	base(tb, Trixie)
	m := start(tb, append(append([]string{
		"--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_NICE",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--cgroupns", "private",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
	}, flags...), hostImage(tb))...)
	servers.Eventually(tb, func() error {
		_, err := m.Try("test", "-S", "/run/systemd/private")
		return err
	})
	// The state after the boot may be "degraded": a container lacks this and that.
	if out, err := m.Try("timeout", "180", "systemctl", "is-system-running", "--wait"); err != nil && strings.TrimSpace(out) != "degraded" {
		tb.Fatalf("systemd of %s is %q: %v", m.Name, out, err)
	}
	return m
}

// hostImage builds the image of Host; the engine keeps it.
func hostImage(tb testing.TB) string {
	tb.Helper()
	const name = "smartstack-test-host"
	Docker(tb, "build", "-q", "-t", name, filepath.Join(Root(tb), "test/machine/host"))
	return name
}

// Root is the project's folder.
func Root(tb testing.TB) string {
	tb.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		tb.Fatal("where is the source?")
	}
	return filepath.Join(filepath.Dir(file), "../..")
}

func base(tb testing.TB, image string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), filepath.Join(Root(tb), "docker/base-images.sh"), image)
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", image, err, out)
	}
}

func start(tb testing.TB, args ...string) *Machine {
	tb.Helper()
	m := &Machine{Name: fmt.Sprintf("smartstack-test-%d-%04x", os.Getpid(), rand.Uint32()&0xffff), tb: tb}
	Docker(tb, append([]string{"run", "-d", "--name", m.Name, "--hostname", m.Name}, args...)...)
	tb.Cleanup(func() {
		if tb.Failed() {
			if out, err := m.Try("journalctl", "--no-pager", "-n", "200", "-o", "cat"); err == nil {
				tb.Logf("journal of %s:\n%s", m.Name, out)
			}
		}
		Docker(tb, "rm", "-f", "-v", m.Name)
	})
	return m
}

// Docker runs the command line client and returns what it says.
func Docker(tb testing.TB, args ...string) string {
	tb.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Try runs a command in the machine.
func (m *Machine) Try(args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"exec", m.Name}, args...)...).CombinedOutput()
	return string(out), err
}

// Run runs a command in the machine; it must succeed.
func (m *Machine) Run(args ...string) string {
	m.tb.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.tb.Fatalf("%s: %s: %v\n%s", m.Name, strings.Join(args, " "), err, out)
	}
	return out
}

// Shell runs a line of shell in the machine; it must succeed.
func (m *Machine) Shell(line string) string {
	m.tb.Helper()
	return m.Run("sh", "-ec", line)
}

// Write writes a file in the machine.
func (m *Machine) Write(path, text string) {
	m.tb.Helper()
	cmd := exec.CommandContext(m.tb.Context(), "docker", "exec", "-i", m.Name, "sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1"`, "sh", path)
	cmd.Stdin = bytes.NewReader([]byte(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		m.tb.Fatalf("writing %s in %s: %v\n%s", path, m.Name, err, out)
	}
}

// Copy copies a file of this host into the machine.
func (m *Machine) Copy(from, to string) {
	m.tb.Helper()
	Docker(m.tb, "cp", from, m.Name+":"+to)
}

// Address is the machine's address on its network.
func (m *Machine) Address() string {
	m.tb.Helper()
	return Docker(m.tb, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", m.Name)
}
