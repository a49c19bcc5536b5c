package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"smartstack/test/servers"
)

func TestFaultsOfTheFile(t *testing.T) {
	for _, tc := range []struct {
		name         string
		break_, mend func(b *bed) error
		want         string
	}{
		{
			"directory missing",
			func(b *bed) error { return os.Rename(b.dir, b.dir+".away") },
			func(b *bed) error { return os.Rename(b.dir+".away", b.dir) }, "no such file or directory",
		},
		{
			"directory is a file",
			func(b *bed) error {
				return errors.Join(os.Rename(b.dir, b.dir+".away"), os.WriteFile(b.dir, nil, 0o644))
			},
			func(b *bed) error { return errors.Join(os.Remove(b.dir), os.Rename(b.dir+".away", b.dir)) }, "not a directory",
		},
		{
			"file is a directory",
			func(b *bed) error { return errors.Join(os.Remove(b.file), os.Mkdir(b.file, 0o755)) },
			func(b *bed) error { return os.Remove(b.file) }, "config_file_path must name a file",
		},
		{
			"staging directory is a file",
			func(b *bed) error {
				return errors.Join(os.RemoveAll(filepath.Join(b.dir, ".synapse")), os.WriteFile(filepath.Join(b.dir, ".synapse"), nil, 0o644))
			},
			func(b *bed) error { return os.Remove(filepath.Join(b.dir, ".synapse")) }, ".synapse",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, "web")
			synctest.Test(t, func(t *testing.T) {
				b.t = t
				b.open()
				b.apply(b.snapshot(map[string]string{"web": "1"}))
				pass(calm)
				if err := tc.break_(b); err != nil {
					t.Fatal(err)
				}
				s := b.snapshot(map[string]string{"web": "2"})
				for range 3 {
					again := b.apply(s)
					if again == 0 || again > longestFileRetry {
						t.Fatalf("again %v", again)
					}
					pass(again)
				}
				st := b.out.Status()
				if len(st.Faults) != 1 || st.Faults[0].What != "file" || !strings.Contains(st.Faults[0].Err, tc.want) || !strings.Contains(st.Faults[0].Err, b.dir) {
					t.Fatalf("faults %+v", st.Faults)
				}
				if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d errors were logged:\n%s", n, b.log.String())
				}
				b.wantReloads(1)
				if err := tc.mend(b); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					pass(b.apply(s))
				}
				b.wantFile("2", "1")
				if st := b.out.Status(); len(st.Faults) != 0 || st.Applied != 2 {
					t.Errorf("status %+v", st)
				}
				b.close()
			})
		})
	}
}

func TestFaultsAtStart(t *testing.T) {
	b := newBed(t, "web")
	if err := os.Mkdir(b.file, 0o755); err != nil {
		t.Fatal(err)
	}
	b.open()
	s := b.snapshot(map[string]string{"web": "1"})
	for range 2 {
		if _, err := b.out.Apply(t.Context(), s); err == nil || !strings.Contains(err.Error(), "config_file_path must name a file") {
			t.Fatalf("error %v", err)
		}
	}
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.apply(s)
	b.wantFile("1", "")
	b.wantReloads(1)
}

// The end of the context ends a check, and nothing is written.
func TestCancel(t *testing.T) {
	b := newBed(t, "web")
	b.open()
	ctx, cancel := context.WithCancel(t.Context())
	b.out.check = func(ctx context.Context, path string, _ []byte) (string, error) {
		cancel()
		<-ctx.Done()
		return path, context.Cause(ctx)
	}
	if _, err := b.out.Apply(ctx, b.snapshot(map[string]string{"web": "1"})); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written: %v", err)
	}
	if entries, _ := filepath.Glob(filepath.Join(b.dir, ".synapse", "haproxy.cfg*")); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// A write that ends half-way for want of room must leave the old file. The limit
// on the size of files stands in for a full disk: mounting a small one takes
// rights that containers lack. It holds for a whole process, and go test writes
// from this one, so the story is told in a process of its own.
func TestNoRoom(t *testing.T) {
	const child = "SMARTSTACK_TEST_NO_ROOM"
	if os.Getenv(child) != "" {
		noRoom(t)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^TestNoRoom$")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestNoRoom")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func noRoom(t *testing.T) {
	b := newBed(t, "web")
	b.options.StateFilePath = filepath.Join(b.dir, "state.json")
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	restore := limitFiles(t, len(b.read())+8)
	defer restore()
	s := b.snapshot(map[string]string{"web": "1 2"})
	servers.Eventually(t, func() error {
		b.apply(s)
		if len(b.out.Status().Faults) == 0 {
			return errors.New("no fault")
		}
		return nil
	})
	b.wantFile("1", "2")
	if st := b.out.Status(); !strings.Contains(st.Faults[0].Err, "file too large") {
		t.Errorf("faults %+v", st.Faults)
	}
	restore()
	servers.Eventually(t, func() error {
		b.apply(s)
		if st := b.out.Status(); st.Applied != 2 || len(st.Faults) > 0 {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
	b.wantFile("1 2", "")
}

// limitFiles keeps files that this process writes below so many bytes, until
// restore is called.
func limitFiles(t *testing.T, size int) (restore func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // so that write returns an error
	limit := syscall.Rlimit{Cur: uint64(size), Max: before.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
}
