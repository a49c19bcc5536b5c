package haproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSecondSynapseRefuses(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	link := filepath.Join(t.TempDir(), "link.cfg")
	if err := os.Symlink(b.file, link); err != nil {
		t.Fatal(err)
	}
	o := b.options
	o.ConfigFilePath = link
	second, err := New(o, b.services, Deps{Reload: func(context.Context) error { return nil }}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	s := b.snapshot(map[string]string{"web": "2"})
	_, err = second.Apply(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Fatalf("error %v", err)
	}
	b.wantFile("1", "2")
	b.close()
	if _, err := second.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	b.wantFile("2", "1")
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info.Mode(), err)
	}
}

func TestModeIsKept(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	if info, _ := os.Stat(b.file); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v of a new file", info.Mode())
	}
	if err := os.Chmod(b.file, 0o640); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(b.file, 12345, 23456); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "2"}))
	b.wantFile("2", "1")
	info, _ := os.Stat(b.file)
	if info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
	if sys := info.Sys().(*syscall.Stat_t); root && (sys.Uid != 12345 || sys.Gid != 23456) {
		t.Errorf("owner %d:%d", sys.Uid, sys.Gid)
	}
}

func TestDanglingLink(t *testing.T) {
	b := newBed(t, "web")
	if err := os.Mkdir(filepath.Join(b.dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real/haproxy.cfg", b.file); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	b.wantFile("1", "")
	if _, err := os.Stat(filepath.Join(b.dir, "real", "haproxy.cfg")); err != nil {
		t.Error(err)
	}
}

// A change that somebody makes at the moment at which the file goes live must
// not pass for ours: the stamp is known before.
func TestTheStampOfAStagedFileIsKnownBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	target := &target{path: file}
	s, err := target.stage(Model{Preamble: []byte("ours\n")})
	if err != nil {
		t.Fatal(err)
	}
	before := s.stamp
	if _, err := s.commit(); err != nil {
		t.Fatal(err)
	}
	if now, err := target.stat(); err != nil || now != before || now == (stamp{}) {
		t.Errorf("%+v %v, want %+v", now, err, before)
	}
	if err := os.WriteFile(file, []byte("theirs\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if now, err := target.stat(); err != nil || now == before {
		t.Errorf("%+v %v is still ours", now, err)
	}
}

// The second synapse for the same file refuses, and names the first one well
// enough to find it, from another container too.
func TestTheFirstWriterIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first := &target{path: file, owner: owner{pid: 42, host: "web-1", config: "/etc/synapse.json", since: began}}
	if err := first.claim(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.release)
	second := &target{path: file, owner: owner{pid: 43}}
	const want = " is already written by another synapse, process 42 on web-1 with /etc/synapse.json, since 2026-03-01T12:00:00Z: stop it, or give each its own config_file_path"
	if err := second.claim(); !errors.Is(err, errTaken) || err.Error() != file+want {
		t.Errorf("the second one: %v", err)
	}
	first.release()
	if err := second.claim(); err != nil {
		t.Errorf("when the first has gone: %v", err)
	}
	second.release()
}

func TestAStrangeLockIsNoDanger(t *testing.T) {
	for text, want := range map[string]string{"": "unknown", "17\n": "17", "1\x1b[2Jx\ny": "1?[2Jx", strings.Repeat("x", 5000): strings.Repeat("x", longestOwner)} {
		file := filepath.Join(t.TempDir(), "lock")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lock, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := readOwner(lock); got != want {
			t.Errorf("%.20q is shown as %q", text, got)
		}
		lock.Close()
	}
}
