package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func root(t *testing.T) *os.Root {
	t.Helper()
	dir, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func TestWrite(t *testing.T) {
	dir := root(t)
	for _, content := range []string{"one\n", "a longer second one\n", ""} {
		if err := Write(dir, "x.cfg", []byte(content), 0o644, Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := dir.ReadFile("x.cfg")
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	info, err := dir.Stat("x.cfg")
	if err != nil || info.Mode() != 0o644 {
		t.Fatalf("mode %v, %v; want 0644", info.Mode(), err)
	}
	wantNoLeftover(t, dir, DefaultStage)
}

// A text is made of the one that waits under a name of its own.
func TestAmend(t *testing.T) {
	dir := root(t)
	o := Options{Temp: "x.next"}
	for _, tc := range []struct {
		keep int64
		rest string
		want string
	}{{4, "TWO three four five\n", "one TWO three four five\n"}, {4, "", "one "}, {0, "0\n", "0\n"}} {
		for range 2 { // the second replaces what the first has left
			if _, err := Stage(dir, "x", []byte("one two three\n"), 0o600, o); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Amend(dir, "x", tc.keep, strings.NewReader(tc.rest), 0o640, o)
		if err == nil {
			err = s.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := dir.ReadFile("x")
		if info, statErr := dir.Stat("x"); err != nil || statErr != nil || string(got) != tc.want || info.Mode() != 0o640 {
			t.Errorf("it says %q (%v %v %v), want %q", got, info.Mode(), err, statErr, tc.want)
		}
		wantNoLeftover(t, dir, DefaultStage)
	}
	if _, err := Amend(dir, "x", 0, strings.NewReader("x"), 0o640, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("with nothing to amend: %v", err)
	}
}

func TestPermissionsIgnoreTheUmask(t *testing.T) {
	dir := root(t)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	if err := Write(dir, "x", []byte("x"), 0o644, Options{}); err != nil {
		t.Fatal(err)
	}
	if info, err := dir.Stat("x"); err != nil || info.Mode() != 0o644 {
		t.Fatalf("mode %v, %v; want 0644", info.Mode(), err)
	}
}

func TestWriteInSubdirectory(t *testing.T) {
	dir := root(t)
	if err := dir.Mkdir("sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "sub/x", []byte("x"), 0o600, Options{Stage: ".elsewhere", NoSync: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Stat("sub/.elsewhere"); err != nil {
		t.Fatal(err)
	}
}

func TestDiscardLeavesTheTarget(t *testing.T) {
	dir := root(t)
	if err := Write(dir, "x", []byte("good"), 0o644, Options{}); err != nil {
		t.Fatal(err)
	}
	s, err := Stage(dir, "x", []byte("bad"), 0o644, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(s.Path()); err != nil || string(got) != "bad" {
		t.Fatalf("staged %q, %v", got, err)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if got, _ := dir.ReadFile("x"); string(got) != "good" {
		t.Fatalf("target holds %q", got)
	}
	wantNoLeftover(t, dir, DefaultStage)
}

func TestFaults(t *testing.T) {
	dir := root(t)
	if err := dir.Mkdir("isdir", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteFile("isfile", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, target string }{
		{"directory gone", "gone/x"},
		{"target is a directory", "isdir"},
		{"parent is a file", "isfile/x"},
		{"outside the root", "../x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Write(dir, tc.target, []byte("x"), 0o644, Options{})
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), filepath.Join(dir.Name(), tc.target)) {
				t.Errorf("error does not name the target: %v", err)
			}
		})
	}
	wantNoLeftover(t, dir, DefaultStage)
}

func TestSymlinkOutOfTheRootIsRefused(t *testing.T) {
	dir := root(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir.Name(), DefaultStage)); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "x", []byte("x"), 0o644, Options{}); err == nil {
		t.Fatal("staged outside the root")
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Fatalf("wrote %v outside the root", entries)
	}
}

func TestPrepareRemovesOldLeftovers(t *testing.T) {
	dir := root(t)
	if err := Prepare(dir, "x", Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "new"} {
		if err := dir.WriteFile(DefaultStage+"/"+name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * leftover)
	if err := dir.Chtimes(DefaultStage+"/old", past, past); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(dir, "x", Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Stat(DefaultStage + "/old"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old leftover: %v", err)
	}
	if _, err := dir.Stat(DefaultStage + "/new"); err != nil {
		t.Errorf("another writer's file: %v", err)
	}
}

// Readers must see whole files only, also with several writers.
func TestReadersSeeWholeFiles(t *testing.T) {
	dir := root(t)
	content := [][]byte{bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20)}
	if err := Write(dir, "x", content[0], 0o644, Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for _, c := range content {
		writers.Go(func() {
			for range 20 {
				if err := Write(dir, "x", c, 0o644, Options{NoSync: true}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		got, err := dir.ReadFile("x")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, content[0]) && !bytes.Equal(got, content[1]) {
			t.Fatalf("read %d mixed bytes", len(got))
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// Someone who re-arms a one-shot watch per event must not be woken for
// anything but the finished file, or he misses it while he re-arms.
func TestWatcherOfTheDirectorySeesOneEvent(t *testing.T) {
	dir := root(t)
	if err := Prepare(dir, "haproxy.cfg", Options{}); err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	// What could wake someone: everything but reading.
	mask := uint32(syscall.IN_ALL_EVENTS &^ (syscall.IN_OPEN | syscall.IN_ACCESS | syscall.IN_CLOSE_NOWRITE))
	if _, err := syscall.InotifyAddWatch(fd, dir.Name(), mask); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := Write(dir, "haproxy.cfg", []byte("text"), 0o644, Options{}); err != nil {
			t.Fatal(err)
		}
		var buf [4096]byte
		n, err := syscall.Read(fd, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		ev := (*syscall.InotifyEvent)(unsafe.Pointer(&buf[0]))
		name := string(bytes.TrimRight(buf[syscall.SizeofInotifyEvent:syscall.SizeofInotifyEvent+ev.Len], "\x00"))
		if ev.Mask != syscall.IN_MOVED_TO || name != "haproxy.cfg" {
			t.Errorf("first event %#x on %q, want the rename", ev.Mask, name)
		}
		if n != syscall.SizeofInotifyEvent+int(ev.Len) {
			t.Errorf("more than one event: %d bytes", n)
		}
	}
}

func wantNoLeftover(t *testing.T, dir *os.Root, stage string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir.Name(), stage))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}
