package checkconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve hands every connection to talk.
func serve(t *testing.T, talk func(net.Conn)) Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			talk(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return Target{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

func dial(ctx context.Context, t *testing.T, target Target) *Conn {
	t.Helper()
	d, err := NewDialer(target, TLS{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Drop() })
	return c
}

func TestReadsAreBounded(t *testing.T) {
	c := dial(t.Context(), t, serve(t, func(c net.Conn) {
		for err := error(nil); err == nil; {
			_, err = c.Write(make([]byte, 64<<10))
		}
	}))
	if n, err := io.Copy(io.Discard, c); n != MaxRead || !errors.Is(err, ErrTooMuch) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

func TestContextEndsConnections(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := dial(ctx, t, serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	cancel()
	_, err := c.Read(make([]byte, 1))
	if err = Ended(ctx, err); !errors.Is(err, context.Canceled) || !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// crowded is a port whose queue is full: calls get no answer.
func crowded(t *testing.T) Target {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return Target{Host: "127.0.0.1", Port: at.(*syscall.SockaddrInet4).Port}
}

// Connecting has a time of its own, and the context ends it as well.
func TestBound(t *testing.T) {
	target := crowded(t)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		target.Host = host
		d, err := NewDialer(target, TLS{})
		if err != nil {
			t.Fatal(err)
		}
		d.Bound(50 * time.Millisecond)
		for err == nil { // until the queue is full
			var c *Conn
			if c, err = d.Plain(t.Context()); err == nil {
				t.Cleanup(c.Drop)
			}
		}
		timeout, ok := errors.AsType[net.Error](err)
		if !ok || !timeout.Timeout() || !strings.HasSuffix(err.Error(), "i/o timeout") {
			t.Errorf("%s: %v", host, err)
		}
		d.Bound(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		if _, err := d.Plain(ctx); err == nil || !errors.Is(Ended(ctx, err), context.Canceled) {
			t.Errorf("%s, canceled: %v", host, err)
		}
	}
}

// late is a context at its deadline, the moment before it says so.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now(), true }

func TestEnded(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	cause := errors.New("cause")
	for _, tc := range []struct {
		name string
		ctx  context.Context
		err  error
		is   error
		want string
	}{
		{"nothing", over, nil, nil, "<nil>"},
		{"another failure", t.Context(), cause, cause, "cause"},
		{"the end of the context", over, cause, context.Canceled, "context canceled (cause)"},
		{"said already", over, fmt.Errorf("dial: %w", context.Canceled), context.Canceled, "dial: context canceled"},
		{"a deadline of a step", t.Context(), fmt.Errorf("read: %w", os.ErrDeadlineExceeded), os.ErrDeadlineExceeded, "read: i/o timeout"},
		{"the connection's deadline", late{t.Context()}, fmt.Errorf("read: %w", os.ErrDeadlineExceeded), context.DeadlineExceeded, "context deadline exceeded (read: i/o timeout)"},
	} {
		if err := Ended(tc.ctx, tc.err); !errors.Is(err, tc.is) || fmt.Sprint(err) != tc.want {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestTargets(t *testing.T) {
	for _, tc := range []struct {
		target Target
		want   string // network and address, or the fault
	}{
		{Target{Host: "h", Port: 80}, "tcp h:80"},
		{Target{Host: "::1", Port: 80}, "tcp [::1]:80"},
		{Target{Host: "[::1]", Port: 80}, "tcp [::1]:80"},
		{Target{Socket: "/run/s", Host: "h"}, "unix /run/s"},
		{Target{Host: "h"}, "port: want 1 to 65535, got 0"},
		{Target{Host: "h", Port: 65536}, "port: want 1 to 65535, got 65536"},
	} {
		network, address, err := tc.target.Where()
		if got := network + " " + address; err != nil && err.Error() != tc.want || err == nil && got != tc.want {
			t.Errorf("%+v: %q, %v", tc.target, got, err)
		}
	}
}

func TestTLSFaults(t *testing.T) {
	for want, o := range map[string]TLS{
		"belong together": {KeyFile: "k"},
		"ssl_server_name": {On: true, Verify: true},
	} {
		if _, err := NewDialer(Target{Socket: "/s"}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A file is read again when it has changed, and only then.
func TestKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	reads := 0
	k := kept[string]{name: "option"}
	load := func() (string, error) {
		return k.load(func(paths ...string) (string, error) {
			reads++
			text, err := os.ReadFile(paths[0])
			return string(text), err
		}, path)
	}
	if _, err := load(); err == nil || !strings.HasPrefix(err.Error(), "option: ") {
		t.Errorf("without the file: %v", err)
	}
	for i, text := range []string{"one", "three"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got, err := load(); got != text || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
		if reads != i+1 {
			t.Errorf("%d reads of %d versions", reads, i+1)
		}
	}
}

func TestPassword(t *testing.T) {
	dir := t.TempDir()
	file, open := filepath.Join(dir, "p"), filepath.Join(dir, "open")
	for path, mode := range map[string]os.FileMode{file: 0o600, open: 0o644} {
		if err := os.WriteFile(path, []byte(" a b \r\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		p         Password
		want, err string
	}{
		{Password{}, "", ""},
		{Password{Text: "x"}, "x", ""},
		{Password{File: file}, " a b ", ""},
		{Password{Env: secret.NewEnv("VAR", "y")}, "y", ""},
		{Password{File: open}, "", "password_file: everybody on this host may read"},
		{Password{File: dir + "/none"}, "", "password_file: "},
	} {
		got, err := tc.p.Read()
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%+v: %q, %v", tc.p, got, err)
		}
		if tc.p.Set() != (tc.p != Password{}) {
			t.Errorf("%+v", tc.p)
		}
	}
	if (Password{Text: "x", File: file}).Validate() == nil || (Password{File: file}).Validate() != nil {
		t.Error("one of text and file is right")
	}
}
