package reaper

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestOrphans makes us the parent of processes that somebody else has started,
// as process 1 is, and counts on them being collected.
func TestOrphans(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
	stop := start(os.Getpid())
	defer stop()
	// The shell ends at once and leaves two processes to us.
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "sleep 0.1 >/dev/null & sleep 0.2 >/dev/null & echo $!").Output()
	if err != nil || strings.TrimSpace(string(out)) == "" {
		t.Fatalf("%q, %v", out, err)
	}
	pid := strings.TrimSpace(string(out))
	servers.Eventually(t, func() error {
		_, err := os.Stat("/proc/" + pid)
		if err == nil {
			return errStill
		}
		return nil
	})
	if list := zombies(os.Getpid()); len(list) > 0 {
		servers.Eventually(t, func() error {
			if len(zombies(os.Getpid())) > 0 {
				return errStill
			}
			return nil
		})
	}
}

const errStill = stillThere("it is still there")

type stillThere string

func (s stillThere) Error() string { return string(s) }

// TestOwnChildren sees that how a child of ours ended is still told to us.
func TestOwnChildren(t *testing.T) {
	stop := start(os.Getpid())
	defer stop()
	for range 20 {
		err := exec.CommandContext(t.Context(), "sh", "-c", "exit 7").Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
			t.Fatalf("got %v", err)
		}
	}
}

func TestIsZombie(t *testing.T) {
	for _, tt := range []struct {
		stat string
		want bool
	}{
		{"12 (a) b) Z 1 12 12 0 -1", true},
		{"12 (haproxy) Z 2 12 12 0 -1", false},
		{"12 (haproxy) S 1 12 12 0 -1", false},
		{"12 (Z 1) S 3", false},
		{"", false},
		{")", false},
	} {
		if got := isZombie([]byte(tt.stat), 1); got != tt.want {
			t.Errorf("%q: got %v", tt.stat, got)
		}
	}
}
