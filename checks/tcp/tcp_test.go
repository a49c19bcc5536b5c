package tcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, o Options) *Check {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = config.Seconds(20 * time.Second)
	}
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func TestContract(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", sock)
	checktest.Run(t, checktest.Subject{
		New: func(t *testing.T, target checkconn.Target) service.Check {
			return build(t, Options{Host: target.Host, Port: target.Port, Socket: target.Socket})
		},
		Healthy:     listen(t, "tcp4", "127.0.0.1:0").Addr().String(),
		Socket:      sock,
		ConnectOnly: true,
	})
}

func TestUp(t *testing.T) {
	type up struct {
		name string
		o    Options
	}
	v4 := listen(t, "tcp4", "127.0.0.1:0")
	sock := filepath.Join(t.TempDir(), "s")
	listen(t, "unix", sock)
	cases := []up{
		{"IPv4", Options{Host: "127.0.0.1", Port: port(v4)}},
		{"name", Options{Host: "localhost", Port: port(v4)}},
		{"unix socket", Options{Socket: sock}},
	}
	// Containers often have no IPv6; TestDown has its addresses everywhere.
	if v6, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		defer v6.Close()
		cases = append(cases,
			up{"IPv6", Options{Host: "::1", Port: port(v6)}},
			up{"IPv6 in brackets", Options{Host: "[::1]", Port: port(v6)}})
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if err := build(t, tc.o).Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDown(t *testing.T) {
	free := servers.FreePort(t)
	for _, tc := range []struct {
		name string
		o    Options
		want string
	}{
		{"nobody listens", Options{Host: "127.0.0.1", Port: free}, fmt.Sprintf("127.0.0.1:%d: connect: connection refused", free)},
		{"IPv6", Options{Host: "::1", Port: free}, fmt.Sprintf("dial tcp [::1]:%d: connect: ", free)},
		{"IPv6 in brackets", Options{Host: "[::1]", Port: free}, fmt.Sprintf("dial tcp [::1]:%d: connect: ", free)},
		{"no such socket", Options{Socket: filepath.Join(t.TempDir(), "none")}, "no such file"},
		{"no such name", Options{Host: "no such name.invalid", Port: 1}, "cannot connect"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := build(t, tc.o).Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

// A full accept queue drops connection attempts: nobody answers at all.
func TestSilentTargetFailsInTime(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	c := build(t, Options{Host: "127.0.0.1", Port: name.(*syscall.SockaddrInet4).Port})
	for range 10 { // the first ones fill the queue
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err = c.Check(ctx)
		cancel()
	}
	if e, ok := errors.AsType[net.Error](err); !ok || !e.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Check(ctx); err == nil {
		t.Error("a canceled check: healthy")
	}
}

// The host is resolved anew each time: here the socket behind a name changes.
func TestComesBack(t *testing.T) {
	p := servers.FreePort(t)
	c := build(t, Options{Host: "127.0.0.1", Port: p})
	if err := c.Check(t.Context()); err == nil {
		t.Fatal("healthy before anybody listens")
	}
	l := listen(t, "tcp4", fmt.Sprintf("127.0.0.1:%d", p))
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := c.Check(t.Context()); err == nil {
		t.Fatal("healthy after the listener is gone")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{
		{Host: "h", Port: 0, Timeout: 1}, {Host: "h", Port: 65536, Timeout: 1}, {Host: "h", Port: 1},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
