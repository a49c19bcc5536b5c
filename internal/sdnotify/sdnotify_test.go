package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestSystemdHears(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") // a unix socket's path is limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, name := range []string{filepath.Join(dir, "notify"), "@smartstack-test-notify-" + strconv.Itoa(servers.FreePort(t))} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		hear := func() string {
			buf := make([]byte, 4096)
			_ = l.SetReadDeadline(time.Now().Add(servers.Deadline))
			n, err := l.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			return string(buf[:n])
		}
		n := New(env("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "3000000", "WATCHDOG_PID", "42"), 42)
		if n.Every() != 1500*time.Millisecond {
			t.Errorf("a sign of life every %v", n.Every())
		}
		n.Ready()
		n.Reloading()
		n.Stopping(90 * time.Second)
		n.Alive()
		n.Status("a\nb")
		if got := hear(); got != "READY=1" {
			t.Errorf("%q", got)
		}
		got := hear()
		usec, err := strconv.ParseInt(strings.TrimPrefix(got, "RELOADING=1\nMONOTONIC_USEC="), 10, 64)
		if err != nil || usec <= 0 {
			t.Errorf("%q", got)
		}
		for _, want := range []string{"STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000", "WATCHDOG=1", "STATUS=a b"} {
			if got := hear(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		l.Close()
		n.Ready() // nobody is there any more
	}
}

func TestWithoutSystemd(t *testing.T) {
	for _, n := range []*Notifier{
		New(env(), 1),
		New(env("WATCHDOG_USEC", "x"), 1),
		New(env("WATCHDOG_USEC", "9223372036854775807"), 1),
		New(env("WATCHDOG_USEC", "3000000", "WATCHDOG_PID", "7"), 1),
	} {
		if n.Every() != 0 {
			t.Errorf("a sign of life every %v", n.Every())
		}
		n.Ready()
		n.Alive()
		n.Stopping(time.Second)
	}
}
