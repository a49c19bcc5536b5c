package haproxy

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
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
