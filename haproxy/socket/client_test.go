package socket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDir returns a folder whose path leaves room for a unix socket's name.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// fake serves a unix socket; each connection is handed to serve.
func fake(tb testing.TB, serve func(n int, r *bufio.Reader, c net.Conn)) string {
	tb.Helper()
	path := filepath.Join(shortDir(tb), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(n, bufio.NewReader(c), c)
			_ = c.Close()
		}
	}()
	tb.Cleanup(func() { _ = l.Close(); <-done })
	return path
}

// greet answers the greeting.
func greet(r *bufio.Reader, c net.Conn) {
	for range greeting {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, mark)
	}
}

// echo answers every line with itself until the peer closes.
func echo(r *bufio.Reader, c net.Conn) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, line+mark); err != nil {
			return
		}
	}
}

func within(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func TestBadPeersAreErrorsThatSayWhatToDo(t *testing.T) {
	hang := func(r *bufio.Reader, _ net.Conn) { _, _ = io.Copy(io.Discard, r) }
	cases := []struct {
		name  string
		serve func(n int, r *bufio.Reader, c net.Conn)
		want  string
		got   int // replies before the error
	}{
		{"says nothing", func(_ int, r *bufio.Reader, c net.Conn) { hang(r, c) }, "no answer in time", 0},
		{"stops after one reply", func(_ int, r *bufio.Reader, c net.Conn) {
			greet(r, c)
			_, _ = r.ReadString('\n')
			_, _ = io.WriteString(c, "one\n"+mark)
			hang(r, c)
		}, `command 2 of 3 ("b"): no answer in time`, 1},
		{"closes at once", func(int, *bufio.Reader, net.Conn) {}, "closed the connection", 0},
		{"closes in the middle of a reply", func(_ int, r *bufio.Reader, c net.Conn) {
			greet(r, c)
			for range 3 {
				_, _ = r.ReadString('\n')
			}
			_, _ = io.WriteString(c, "one\n"+mark+"tw")
		}, `command 2 of 3 ("b"): HAProxy closed the connection`, 1},
		{"speaks first", func(_ int, r *bufio.Reader, c net.Conn) {
			_, _ = io.WriteString(c, "220 mail.example.org ESMTP"+mark)
			hang(r, c)
		}, "does not answer as an admin socket", 0},
		{"floods", func(_ int, r *bufio.Reader, c net.Conn) {
			greet(r, c)
			_, _ = r.ReadString('\n')
			for junk := strings.Repeat("x", 4096); ; {
				if _, err := io.WriteString(c, junk); err != nil {
					return
				}
			}
		}, "reply of more than", 0},
		{"answers twice", func(_ int, r *bufio.Reader, c net.Conn) {
			greet(r, c)
			for range 3 {
				_, _ = r.ReadString('\n')
			}
			_, _ = io.WriteString(c, strings.Repeat("x"+mark, 4))
			hang(r, c)
		}, "unasked output", 2},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := New(fake(t, tc.serve))
			c.maxReply = 1 << 20
			defer c.Close()
			replies, err := c.Do(within(t, 300*time.Millisecond), []string{"a", "b", "c"})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got error %v, want one with %q", err, tc.want)
			}
			if len(replies) != tc.got {
				t.Fatalf("got %d replies, want %d", len(replies), tc.got)
			}
			if !strings.Contains(err.Error(), c.Path()) {
				t.Fatalf("%v does not name the socket", err)
			}
		})
	}
}

func TestMissingSocketSaysSo(t *testing.T) {
	_, err := New(filepath.Join(shortDir(t), "none")).Do(t.Context(), []string{"show info"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "is HAProxy running") {
		t.Fatal(err)
	}
}

func TestRefusedSocketSaysSo(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	_, err = New(path).Do(t.Context(), []string{"show info"})
	if err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Fatal(err)
	}
}

func TestCommandsThatAreNotOneCommandAreNotSent(t *testing.T) {
	c := New("/nonexistent")
	for _, cmd := range []string{"", "  ", "a\nb", "a\rb", "add server b/s 1.2.3.4:5 weight <<", strings.Repeat("x", maxCommand+1)} {
		if _, err := c.Do(t.Context(), []string{"ok", cmd}); err == nil || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("%.20q: %v", cmd, err)
		}
	}
}

func TestAClosedConnectionIsReplacedOnce(t *testing.T) {
	closed := make(chan struct{}, 8)
	path := fake(t, func(n int, r *bufio.Reader, c net.Conn) {
		greet(r, c)
		line, _ := r.ReadString('\n')
		_, _ = fmt.Fprintf(c, "%d %s%s", n, line, mark)
		_ = c.Close()
		closed <- struct{}{}
	})
	c := New(path)
	defer c.Close()
	for n := 1; n <= 3; n++ {
		replies, err := c.Do(t.Context(), []string{"x"})
		if err != nil || replies[0] != fmt.Sprintf("%d x", n) {
			t.Fatal(replies, err)
		}
		<-closed
	}
}

func TestACancelledCallReturnsAndTheClientGoesOn(t *testing.T) {
	got := make(chan struct{})
	path := fake(t, func(n int, r *bufio.Reader, c net.Conn) {
		greet(r, c)
		if n == 1 {
			_, _ = r.ReadString('\n')
			close(got)
			_, _ = io.Copy(io.Discard, r)
			return
		}
		echo(r, c)
	})
	c := New(path)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-got; cancel() }()
	if _, err := c.Do(ctx, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if replies, err := c.Do(t.Context(), []string{"y"}); err != nil || replies[0] != "y" {
		t.Fatal(replies, err)
	}
}

func TestTenThousandCommandsDoNotBreakThePipe(t *testing.T) {
	path := fake(t, func(_ int, r *bufio.Reader, c net.Conn) { greet(r, c); echo(r, c) })
	c := New(path)
	defer c.Close()
	cmds := make([]string, 10_000)
	for i := range cmds {
		cmds[i] = fmt.Sprintf("command %d %s", i, strings.Repeat("x", i%97))
	}
	replies, err := c.Do(t.Context(), cmds)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cmds {
		if replies[i] != cmds[i] {
			t.Fatalf("reply %d is %q", i, replies[i])
		}
	}
}

// realHAProxy starts HAProxy with the lines and returns its socket's path.
func realHAProxy(tb testing.TB, backends string) (string, *servers.Process) {
	tb.Helper()
	dir := shortDir(tb)
	addr := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(tb))
	cfg, path := filepath.Join(dir, "cfg"), filepath.Join(dir, "s")
	text := "global\n\tstats socket " + path + " level admin severity-output number\n\tstats maxconn 2\n" +
		"defaults\n\tmode http\n\ttimeout client 5s\n\ttimeout server 5s\n\ttimeout connect 1s\n" +
		"frontend main\n\tbind " + addr + "\n" + backends
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
	p := servers.HAProxy(tb, cfg, addr)
	servers.Eventually(tb, func() error { // TCP listens first
		_, err := os.Stat(path)
		return err
	})
	return path, p
}

func TestRealHAProxy(t *testing.T) {
	path, p := realHAProxy(t, "backend b\n\tserver s 127.0.0.1:9\n\tserver v [::1]:9 disabled\nbackend empty\n")
	c := New(path)
	defer c.Close()
	replies, err := c.Do(t.Context(), []string{"show info", "show servers state", "show servers state none", "show stat b 4 -1", "set server b/s weight 999", "show servers state empty"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := ParseInfo(replies[0])
	if err != nil || !info.AtLeast(2, 4) || info.Start.IsZero() {
		t.Fatal(info, err)
	}
	states, err := ParseServersState(replies[1])
	if err != nil || len(states) != 2 || !states[0].Up || states[1].Addr != "::1" || !states[1].Admin.Maint() || states[0].Port != 9 {
		t.Fatal(states, err)
	}
	if _, err := ParseServersState(replies[2]); !errors.Is(err, ErrNoBackend) {
		t.Fatal(err)
	}
	stats, err := ParseStat(replies[3])
	if err != nil || len(stats) != 2 || stats[1].Status != "MAINT" {
		t.Fatal(stats, err)
	}
	if !strings.HasPrefix(replies[4], "Absolute weight") {
		t.Fatalf("severity was not turned off: %q", replies[4])
	}
	if states, err := ParseServersState(replies[5]); err != nil || len(states) != 0 {
		t.Fatal(states, err)
	}
	t.Run("ten thousand commands", func(t *testing.T) {
		cmds := make([]string, 10_000)
		for i := range cmds {
			cmds[i] = fmt.Sprintf("set server b/s weight %d", i%200)
		}
		replies, err := c.Do(within(t, servers.Deadline), cmds)
		if err != nil || strings.Join(replies, "") != "" {
			t.Fatal(err)
		}
	})
	t.Run("all connections taken", func(t *testing.T) {
		other := New(path)
		defer other.Close()
		if _, err := other.Do(t.Context(), []string{"show info"}); err != nil {
			t.Fatal(err)
		}
		third := New(path)
		if _, err := third.Do(within(t, 200*time.Millisecond), []string{"show info"}); err == nil || !strings.Contains(err.Error(), "stats maxconn") {
			t.Fatal(err)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		p.Pause()
		servers.Eventually(t, func() error { // the signal takes its time
			_, err := c.Do(within(t, 200*time.Millisecond), []string{"show info"})
			if !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("not a timeout: %v", err)
			}
			return nil
		})
		p.Resume()
		if _, err := c.Do(t.Context(), []string{"show info"}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("dies", func(t *testing.T) {
		p.Stop()
		if _, err := c.Do(within(t, time.Second), []string{"show info"}); err == nil {
			t.Fatal("no error")
		}
	})
}
