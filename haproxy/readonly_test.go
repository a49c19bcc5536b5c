package haproxy

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"smartstack/test/servers"
)

// While the file cannot be written HAProxy goes on being changed, by the next
// synapse too, and the file follows when it can be written again. Folders without
// the right to write stand in for a read-only mount, which takes rights that
// containers lack. Root may write everywhere, so the story is told as somebody
// else: by a process of its own, as that holds for all of a process.
func TestReadOnly(t *testing.T) {
	const child = "SMARTSTACK_TEST_READ_ONLY"
	if os.Getenv(child) != "" {
		readOnly(t)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^TestReadOnly$")
	cmd.Env = append(os.Environ(), child+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestReadOnly")) {
		t.Errorf("%v\n%s", err, out)
	}
}

func readOnly(t *testing.T) {
	st := newStory(t, 4)
	socket := st.options.SocketFilePath[0]
	for _, dir := range []string{filepath.Dir(socket), filepath.Dir(st.dir)} { // so that others find the way
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	st.options.DoSocket = true
	st.options.Global = []string{"stats socket " + socket + " mode 666 level admin expose-fd listeners", "stats timeout 1h"}
	st.open()
	st.want(0)
	servers.Eventually(t, func() error { // no HAProxy yet
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Reloads == 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.haproxy = servers.HAProxy(t, st.file, st.addr)
	st.open()
	st.await(0)

	restore := writeProtect(t, st.dir)
	defer restore()
	was := st.read()
	st.want(0, 1, 2)
	st.awaitReadOnly(t, 3)
	st.want(1, 2)
	st.awaitReadOnly(t, 2)
	st.open() // the next synapse
	st.want(2, 3)
	st.awaitReadOnly(t, 2)
	if got := st.read(); got != was {
		t.Errorf("the file has changed:\n%s", got)
	}

	restore()
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Applied != st.rev || len(s.Faults) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.wantMembers(2, 3)
	st.await(2, 3)
	if s := st.out.Status(); s.Reloads != 0 {
		t.Errorf("%d reloads: %v", s.Reloads, s.LastReload.Reasons)
	}
}

// awaitReadOnly applies until so many servers serve and the fault is visible.
func (st *story) awaitReadOnly(t *testing.T, n int) {
	t.Helper()
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if got, err := inRotation(t, st.options.SocketFilePath[0]); err != nil || got != n {
			return fmt.Errorf("%d in rotation, want %d: %w", got, n, err)
		}
		s := st.out.Status()
		if len(s.Faults) != 1 || s.Faults[0].What != "file" || !strings.Contains(s.Faults[0].Err, "permission denied") {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

// writeProtect keeps this process from changing anything below dir, until
// restore is called.
func writeProtect(t *testing.T, dir string) (restore func()) {
	t.Helper()
	chmod := func(forbid bool) {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil || info.Mode()&fs.ModeSocket != 0 {
				return err
			}
			mode := info.Mode().Perm() | 0o644
			if e.IsDir() {
				mode |= 0o111
			}
			if forbid {
				mode &^= 0o222
			}
			return os.Chmod(path, mode)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	chmod(true)
	const nobody = 65534
	asRoot := os.Geteuid() == 0
	if asRoot {
		if err := syscall.Seteuid(nobody); err != nil {
			t.Fatal(err)
		}
	}
	done := false
	return func() {
		if done {
			return
		}
		done = true
		if asRoot {
			if err := syscall.Seteuid(0); err != nil {
				t.Fatal(err)
			}
		}
		chmod(false)
	}
}
