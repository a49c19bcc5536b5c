package haproxy

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// errTaken says that somebody else holds the lock.
var errTaken = errors.New("is already written by another synapse")

// owner is who holds the lock, in words for people: the lock does not depend
// on them. In containers the number of the process says little by itself.
type owner struct {
	pid          int
	host, config string
	since        time.Time
}

const longestOwner = 1024 // bytes, longer than any sane path

func (o owner) String() string {
	text := fmt.Sprintf("%d", o.pid)
	if o.host != "" {
		text += " on " + o.host
	}
	if o.config != "" {
		text += " with " + o.config
	}
	return text + ", since " + o.since.UTC().Format(time.RFC3339)
}

// takeLock takes the lock of the file path for us, or says who has it.
func takeLock(lock *os.File, path string, us owner) error {
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock of %s: %w", path, err)
		}
		return fmt.Errorf("%s %w, process %s: stop it, or give each its own config_file_path", path, errTaken, readOwner(lock))
	}
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(us.String()+"\n"), 0)
	}
	return nil
}

// readOwner returns the first line of lock, without what would disturb a log.
func readOwner(lock *os.File) string {
	var text [longestOwner]byte
	n, _ := lock.ReadAt(text[:], 0) // with less the message is still true
	line, _, _ := strings.Cut(string(text[:n]), "\n")
	if line == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
}
