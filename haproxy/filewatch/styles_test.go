package filewatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// updates is how many each writer makes; UPDATES=1000 asks for more.
func updates() int {
	if n, err := strconv.Atoi(os.Getenv("UPDATES")); err == nil {
		return n
	}
	return 100
}

// follower is a watcher over a HAProxy that only remembers what it was given.
type follower struct {
	*testing.T
	dir    string
	w      *Watcher
	loaded chan string
	refuse func(text string) error
	log    journal
	cancel context.CancelFunc
	done   chan error
}

// journal is a log that tests may read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *journal) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *journal) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func follow(t *testing.T, source string, refuse func(string) error) *follower {
	t.Helper()
	f := &follower{T: t, dir: t.TempDir(), loaded: make(chan string, 1), refuse: refuse, done: make(chan error, 1)}
	copied := filepath.Join(f.dir, "haproxy.cfg")
	f.w = New(Options{
		Source: source, Running: copied, Interval: -1, Poll: 200 * time.Millisecond,
		Check: func(_ context.Context, path string) error {
			data, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(data), "bad") {
				err = errors.New("it is bad")
			}
			return err
		},
		Reload: func(ctx context.Context) error {
			data, err := os.ReadFile(copied)
			if err != nil {
				return err
			}
			if f.refuse != nil {
				if err := f.refuse(string(data)); err != nil {
					return err
				}
			}
			select {
			case f.loaded <- string(data):
			case <-ctx.Done():
			}
			return nil
		},
	}, slog.New(slog.NewTextHandler(&f.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	f.cancel = cancel
	go func() { f.done <- f.w.Run(ctx) }()
	t.Cleanup(f.stop)
	return f
}

func (f *follower) stop() {
	f.cancel()
	if err := <-f.done; err != nil {
		f.Error(err)
	}
}

// next returns what HAProxy is given next.
func (f *follower) next() string {
	f.Helper()
	select {
	case text := <-f.loaded:
		return text
	case <-time.After(servers.Deadline):
		f.Fatalf("nothing was loaded within %v:\n%s", servers.Deadline, f.log.String())
		return ""
	}
}

// idle waits for the built-in file.
func (f *follower) idle() {
	f.Helper()
	if text := f.next(); !strings.Contains(text, "smartstack-idle") {
		f.Fatalf("begins with %q", text)
	}
}

func (f *follower) says(words string) {
	f.Helper()
	servers.Eventually(f, func() error {
		if !strings.Contains(f.log.String(), words) {
			return fmt.Errorf("the log does not say %q:\n%s", words, f.log.String())
		}
		return nil
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(text), 0o644))
}

// styles are the ways in which people and programs write a file. Each is given
// the directory and the number of the update.
func styles() map[string]func(t *testing.T, dir string, n int, text string) {
	file := func(dir string) string { return filepath.Join(dir, "haproxy.cfg") }
	return map[string]func(t *testing.T, dir string, n int, text string){
		"renamed in the directory": func(t *testing.T, dir string, _ int, text string) {
			put(t, file(dir)+".tmp", text)
			check(t, os.Rename(file(dir)+".tmp", file(dir)))
		},
		"renamed from a directory beside": func(t *testing.T, dir string, _ int, text string) {
			check(t, os.MkdirAll(filepath.Join(dir, ".stage"), 0o755))
			put(t, filepath.Join(dir, ".stage", "x"), text)
			check(t, os.Rename(filepath.Join(dir, ".stage", "x"), file(dir)))
		},
		"in place": func(t *testing.T, dir string, _ int, text string) { put(t, file(dir), text) },
		"in place, bit by bit": func(t *testing.T, dir string, _ int, text string) {
			f, err := os.OpenFile(file(dir), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
			check(t, err)
			defer f.Close()
			for part := range strings.SplitAfterSeq(text, "\n") {
				_, err := io.WriteString(f, part)
				check(t, err)
			}
		},
		"removed and made": func(t *testing.T, dir string, _ int, text string) {
			if err := os.Remove(file(dir)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			put(t, file(dir), text)
		},
		"overwritten, then cut": func(t *testing.T, dir string, _ int, text string) {
			f, err := os.OpenFile(file(dir), os.O_WRONLY|os.O_CREATE, 0o644)
			check(t, err)
			defer f.Close()
			_, err = f.WriteAt([]byte(text), 0)
			check(t, err)
			check(t, f.Truncate(int64(len(text))))
		},
		"a link to the file is swapped": func(t *testing.T, dir string, n int, text string) {
			put(t, filepath.Join(dir, fmt.Sprint("version-", n)), text)
			check(t, os.Symlink(fmt.Sprint("version-", n), filepath.Join(dir, "link")))
			check(t, os.Rename(filepath.Join(dir, "link"), file(dir)))
			_ = os.Remove(filepath.Join(dir, fmt.Sprint("version-", n-1)))
		},
		"as config maps do": func(t *testing.T, dir string, n int, text string) {
			version := fmt.Sprint("..version-", n)
			check(t, os.Mkdir(filepath.Join(dir, version), 0o755))
			put(t, filepath.Join(dir, version, "haproxy.cfg"), text)
			check(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
			check(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
			if n == 0 {
				check(t, os.Symlink("..data/haproxy.cfg", file(dir)))
			}
			_ = os.RemoveAll(filepath.Join(dir, fmt.Sprint("..version-", n-1)))
		},
		"a link into another directory, written there": func(t *testing.T, dir string, n int, text string) {
			other := dir + ".other"
			check(t, os.MkdirAll(other, 0o755))
			put(t, filepath.Join(other, "real.cfg.new"), text)
			check(t, os.Rename(filepath.Join(other, "real.cfg.new"), filepath.Join(other, "real.cfg")))
			if n == 0 {
				check(t, os.Symlink(filepath.Join(other, "real.cfg"), file(dir)))
			}
		},
		"with the times of before": func(t *testing.T, dir string, _ int, text string) {
			put(t, file(dir)+".tmp", text)
			check(t, os.Chtimes(file(dir)+".tmp", time.Unix(1e9, 0), time.Unix(1e9, 0)))
			check(t, os.Rename(file(dir)+".tmp", file(dir)))
		},
	}
}

// TestEveryUpdateIsSeen lets every writer make its updates, each as soon as the
// one before was loaded: none may be missed, and none loaded by half.
func TestEveryUpdateIsSeen(t *testing.T) {
	for name, write := range styles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := follow(t, dir, nil)
			f.idle()
			for n := range updates() {
				want := fmt.Sprintf("# %d\n%s# end of %d\n", n, strings.Repeat("line\n", 200-n%7), n)
				write(t, dir, n, want)
				if got := f.next(); got != want {
					t.Fatalf("update %d: got %d bytes, want %d: %.60q…", n, len(got), len(want), got)
				}
			}
			servers.Eventually(t, func() error {
				if s := f.w.Status(); s.Reloads != updates() || s.Refused != 0 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
		})
	}
}

// TestSingleFile follows a file that is mounted by itself.
func TestSingleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mounted.cfg")
	put(t, path, "first\n")
	f := follow(t, path, nil)
	if got := f.next(); got != "first\n" {
		t.Fatalf("got %q", got)
	}
	for n := range updates() {
		want := fmt.Sprintf("update %d\n", n)
		put(t, path, want)
		if got := f.next(); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestBurst writes without waiting: the last one counts.
func TestBurst(t *testing.T) {
	dir := t.TempDir()
	f := follow(t, dir, nil)
	f.idle()
	last := ""
	for n := range 500 {
		last = fmt.Sprintf("update %d\n", n)
		put(t, filepath.Join(dir, "haproxy.cfg"), last)
	}
	for f.next() != last {
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "haproxy.cfg")
	f := follow(t, dir, func(text string) error {
		if strings.Contains(text, "taken") {
			return errors.New("cannot bind socket (Address already in use) [0.0.0.0:80]")
		}
		return nil
	})
	f.idle()
	put(t, path, "good\n")
	f.next()
	good := func(text string) {
		t.Helper()
		put(t, path, text)
		if got := f.next(); got != text {
			t.Fatalf("got %q", got)
		}
	}
	put(t, path, "bad\n")
	f.says("it is bad")
	put(t, path, "")
	f.says("is empty")
	good("good again\n")
	put(t, path, "taken\n")
	f.says("another program has the port")
	if data, err := os.ReadFile(filepath.Join(f.dir, "haproxy.cfg")); err != nil || string(data) != "good again\n" {
		t.Errorf("the copy is %q, %v", data, err)
	}
	check(t, os.Remove(path))
	f.says("is not there")
	check(t, os.Mkdir(path, 0o755))
	f.says("is a directory")
	check(t, os.Remove(path))
	check(t, syscall.Mkfifo(path, 0o644))
	f.says("is no regular file")
	check(t, os.Remove(path))
	good("good at last\n")
	if os.Getuid() != 0 {
		check(t, os.Chmod(path, 0))
		f.says("permission denied")
		check(t, os.Chmod(path, 0o644))
	}
	servers.Eventually(t, func() error {
		if s := f.w.Status(); s.Fault != "" {
			return errors.New(s.Fault)
		}
		return nil
	})
}

// TestForce loads what is there once more.
func TestForce(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "haproxy.cfg"), "text\n")
	f := follow(t, dir, nil)
	f.next()
	f.w.Force()
	if got := f.next(); got != "text\n" {
		t.Errorf("got %q", got)
	}
}

// TestBadFromTheStart runs with the built-in file until the mounted one is good.
func TestBadFromTheStart(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "haproxy.cfg"), "bad\n")
	f := follow(t, dir, nil)
	f.idle()
	f.says("it is bad")
	put(t, filepath.Join(dir, "haproxy.cfg"), "good\n")
	if got := f.next(); got != "good\n" {
		t.Errorf("got %q", got)
	}
}

// TestDirectoryComesLater follows a path that is not there at first, and one
// that is taken away and comes back.
func TestDirectoryComesLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc")
	f := follow(t, dir, nil)
	f.idle()
	for n := range 3 {
		check(t, os.Mkdir(dir, 0o755))
		want := fmt.Sprintf("text %d\n", n)
		put(t, filepath.Join(dir, "haproxy.cfg"), want)
		if got := f.next(); got != want {
			t.Fatalf("got %q", got)
		}
		check(t, os.RemoveAll(dir))
	}
}
