package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/test/servers"
)

// systemd is told of the first complete snapshot, of life, of reloads, and of
// the end.
func TestSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") // a unix socket's path is limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	notify, file := filepath.Join(dir, "notify"), filepath.Join(dir, "s.json")
	text := `{"services": {"web": {"discovery": {"method": "base"}, "default_servers": [{"host": "h", "port": 1}]}}, "file_output": {"output_directory": "` + dir + `"}}`
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-c", file}, env("NOTIFY_SOCKET", notify, "WATCHDOG_USEC", "100000"), io.Discard, io.Discard)
	}()
	hears := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		_ = l.SetReadDeadline(time.Now().Add(servers.Deadline))
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("systemd waits for %q: %v", want, err)
			}
			if strings.HasPrefix(string(buf[:n]), want) {
				return
			}
		}
	}
	hears("EXTEND_TIMEOUT_USEC=65000000")
	hears("READY=1")
	hears("WATCHDOG=1")
	hears("WATCHDOG=1")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil { // run has caught it since its beginning
		t.Fatal(err)
	}
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	cancel()
	hears("STOPPING=1")
	if c := <-code; c != exitOK {
		t.Errorf("exit status %d", c)
	}
}
