package master

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"smartstack/internal/atomicfile"
)

const (
	pidFile  = "pid"
	lockFile = "lock"
)

// bootID tells this boot of the machine from others, in which the same pid may
// have started at the same tick.
func bootID() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it the command line still decides
	return strings.TrimSpace(string(data))
}

// note writes the pid file: pid, start time in ticks, boot.
func (o *Options) note(e entry) error {
	dir, err := os.OpenRoot(o.Dir)
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	defer dir.Close()
	text := fmt.Sprintf("%d %d %s\n", e.pid, e.start, bootID())
	// Not synced: after a crash of the machine the process is gone, too.
	if err := atomicfile.Write(dir, pidFile, []byte(text), 0o644, atomicfile.Options{NoSync: true}); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	return nil
}

// noted returns the running process of the pid file. It reports false when the
// file names none, or one that is not our HAProxy any more.
func (o *Options) noted() (entry, bool) {
	data, err := os.ReadFile(filepath.Join(o.Dir, pidFile))
	if err != nil {
		return entry{}, false
	}
	pid, start, boot, ok := parsePid(string(data))
	if !ok || boot != bootID() {
		return entry{}, false
	}
	e, err := readEntry(pid)
	return e, err == nil && e.start == start && !e.dead() && o.kin(readArgs(pid)) == ours
}

func parsePid(text string) (pid int, start uint64, boot string, ok bool) {
	n, err := fmt.Sscanf(text, "%d %d %s", &pid, &start, &boot)
	if n < 2 || pid <= 0 {
		return 0, 0, "", false
	}
	return pid, start, boot, err == nil || n == 2
}

// lock keeps a second supervisor away from the same HAProxy until the file is
// closed.
func (o *Options) lock() (*os.File, error) {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("directory for HAProxy's pid file: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(o.Dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another process looks after the HAProxy of %s (%s is locked): %w", o.Config, f.Name(), err)
	}
	return f, nil
}
