package servers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Freeze stops a process without ending it, as a hang would. It returns when all
// its threads stand: SIGSTOP reaches one of them, and until then the others go on.
func Freeze(tb testing.TB, pid int) {
	tb.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		tb.Fatal(err)
	}
	Eventually(tb, func() error { return standing(func(p, _ int) bool { return p == pid }) })
}

// standing says which thread of the chosen processes still runs.
func standing(chosen func(pid, group int) bool) error {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range processes {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if _, group := stateOf(dir); !chosen(pid, group) {
			continue
		}
		threads, err := filepath.Glob(dir + "/task/*")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			if state, _ := stateOf(thread); strings.IndexByte("TZX\x00", state) < 0 {
				return fmt.Errorf("%s is in state %c", thread, state)
			}
		}
	}
	return nil
}

// stateOf reads the state and the process group of a process or thread; 0 = it
// has ended.
func stateOf(dir string) (state byte, group int) {
	text, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, 0
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	group, _ = strconv.Atoi(f[2])
	return f[0][0], group
}
