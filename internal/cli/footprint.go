package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// The heap's headroom, in percent of what lives. A start makes much garbage
// between what it leaves behind; with little headroom the latter lies closer
// together, for good. Afterwards half of the usual is the better bargain.
const (
	startingHeadroom = 25
	runningHeadroom  = 50
)

// shrinkings is how often the collector halves the stacks that goroutines needed
// at the start alone, once at each collection.
const shrinkings = 2

// SpareMemory keeps the heap small from the first allocation on. GOGC decides
// when set.
func SpareMemory(getenv func(string) (string, bool)) { headroom(startingHeadroom, getenv) }

func headroom(percent int, getenv func(string) (string, bool)) {
	if _, set := getenv("GOGC"); !set {
		debug.SetGCPercent(percent)
	}
}

// GiveBack returns to the system what only the start of the program needed:
// free memory, and the pages of the program file, most of which are never used
// again. The kernel takes those that are back from its cache. The heap gets the
// headroom that daily work needs.
func GiveBack(getenv func(string) (string, bool)) error {
	for range shrinkings {
		runtime.GC()
	}
	debug.FreeOSMemory()
	headroom(runningHeadroom, getenv)
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("giving memory back: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("giving memory back: %w", err)
	}
	var errs []error
	for _, s := range unwritten(string(maps), program) {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, s.from, s.to-s.from, syscall.MADV_DONTNEED); errno != 0 {
			errs = append(errs, fmt.Errorf("giving the program's pages back: %w", errno))
		}
	}
	return errors.Join(errs...)
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// unwritten returns where maps, the text of /proc/self/maps, shows pages of the
// file that cannot have been written to, so that dropping them loses nothing.
func unwritten(maps, file string) []span {
	var spans []span
	for line := range strings.Lines(maps) {
		f := strings.Fields(line) // addresses, mode, offset, device, inode, path
		if len(f) != 6 || f[5] != file || !strings.HasPrefix(f[1], "r-") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && begin < end {
			spans = append(spans, span{uintptr(begin), uintptr(end)})
		}
	}
	return spans
}
