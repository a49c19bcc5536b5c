package servers

import (
	"os"
	"path/filepath"
	"testing"
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
// cfg listens on. The master socket is Dir/master.sock.
func HAProxy(tb testing.TB, cfg, addr string) *Process {
	tb.Helper()
	bin := HAProxyBin(tb)
	dir, err := os.MkdirTemp("", "haproxy") // a unix socket's path is limited to 107 bytes, so no tb.TempDir
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return launch(tb, &Process{
		Addr: addr, Dir: dir, name: "haproxy", ready: accepts,
		argv: []string{bin, "-W", "-db", "-f", cfg, "-S", filepath.Join(dir, "master.sock") + ",level,admin"},
	})
}

// CheckHAProxy fails the test when haproxy -c refuses the configuration.
func CheckHAProxy(tb testing.TB, cfg string) {
	tb.Helper()
	if out, err := Run(tb, HAProxyBin(tb), "-c", "-f", cfg); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
}
