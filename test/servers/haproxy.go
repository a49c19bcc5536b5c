package servers

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// HAProxyBin returns the haproxy to test with: HAPROXY_BIN if it is set, else
// the installed one.
func HAProxyBin(tb testing.TB) string {
	tb.Helper()
	if bin := os.Getenv("HAPROXY_BIN"); bin != "" {
		return bin
	}
	return need(tb, "haproxy", "haproxy", "/usr/sbin/haproxy")
}

// HAProxy starts HAProxy in master-worker mode in the foreground with the
// configuration file cfg; addr is a host:port or the path of a unix socket that
// cfg listens on. The master socket is Dir/master.sock. See AwaitMaster for
// reloads by signal.
func HAProxy(tb testing.TB, cfg, addr string) *Process {
	tb.Helper()
	bin := HAProxyBin(tb)
	dir, err := os.MkdirTemp("", "haproxy") // a unix socket's path is limited to 107 bytes, so no tb.TempDir
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "master.sock")
	return launch(tb, &Process{
		Addr: addr, Dir: dir, name: "haproxy",
		argv: []string{bin, "-W", "-db", "-f", cfg, "-S", socket + ",level,admin"},
		ready: func(addr string) error {
			if err := accepts(addr); err != nil {
				return err
			}
			return masterAnswers(socket)
		},
	})
}

// AwaitMaster returns when the master of a HAProxy can be told to reload again.
// After a reload the new worker serves before the master has read its own
// configuration and started itself anew, and up to then a SIGUSR2 is lost. Its
// socket answers only afterwards.
func AwaitMaster(p *Process) {
	p.tb.Helper()
	AwaitMasterSocket(p.tb, filepath.Join(p.Dir, "master.sock"))
}

// AwaitMasterSocket is AwaitMaster for a HAProxy that something else started.
func AwaitMasterSocket(tb testing.TB, socket string) {
	tb.Helper()
	Eventually(tb, func() error { return masterAnswers(socket) })
}

func masterAnswers(socket string) error {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("show proc\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// CheckHAProxy fails the test when haproxy -c refuses the configuration.
func CheckHAProxy(tb testing.TB, cfg string) {
	tb.Helper()
	if out, err := Run(tb, HAProxyBin(tb), "-c", "-f", cfg); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
}
