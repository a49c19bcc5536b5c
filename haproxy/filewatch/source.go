package filewatch

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// maxSize bounds what is taken for a configuration, in bytes.
	maxSize = 64 << 20
	// maxLinks is how many symbolic links may lead to the file.
	maxLinks = 40
)

// source is the file that somebody else writes.
type source struct {
	path string // a file, or a directory
	name string // of the file, if path is a directory
}

// reading is one look at the file. It is immutable.
type reading struct {
	stamp stamp
	text  []byte
	sum   [sha256.Size]byte
	err   error // why there is nothing to use; text is nil then
	alone bool  // the file has no name any more: only a mount keeps it
	torn  bool  // somebody wrote while it was read
}

// stamp tells whether the file needs to be read again.
type stamp struct {
	dev, ino uint64
	size     int64
	modified time.Time
	changed  syscall.Timespec
	nlink    uint64
	lead     string // the file that the links lead to
}

var (
	errMissing = errors.New("is not there")
	errEmpty   = errors.New("is empty")
)

// file returns the path of the file itself.
func (s source) file() string {
	if info, err := os.Stat(s.path); err == nil && info.IsDir() {
		return filepath.Join(s.path, s.name)
	}
	return s.path
}

// look reads the file, unless it is as it was at the last look.
func (s source) look(last reading, always bool) reading {
	path := s.file()
	now, err := stampOf(path)
	if err != nil {
		return reading{err: err}
	}
	if now == last.stamp && !always && last.err == nil && !last.torn {
		return last
	}
	r := reading{stamp: now, alone: now.nlink == 0}
	if r.text, r.err = readFile(path); r.err != nil {
		return r
	}
	after, err := stampOf(path)
	r.torn = err != nil || after != now || after.size != int64(len(r.text))
	r.sum = sha256.Sum256(r.text)
	if strings.TrimSpace(string(r.text)) == "" {
		r.text, r.err = nil, errEmpty
	}
	return r
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return stamp{}, errMissing
		}
		return stamp{}, fmt.Errorf("cannot be looked at: %w", reason(err))
	}
	if info.IsDir() {
		return stamp{}, errors.New("is a directory, not a file")
	}
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("is no regular file, but %v", info.Mode())
	}
	st := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.dev, st.ino, st.nlink, st.changed = sys.Dev, sys.Ino, uint64(sys.Nlink), sys.Ctim //nolint:unconvert // other widths on other machines
	}
	st.lead, _ = filepath.EvalSymlinks(path) // only tells that a link was swapped
	return st, nil
}

// readFile cannot be held up by a pipe in the file's place.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMissing
		}
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	if len(data) > maxSize {
		return nil, fmt.Errorf("has more than %d bytes", maxSize)
	}
	return data, nil
}

// reason leaves out the path, which the message names already.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// places returns what has to be watched to notice every change of the file:
// the file, its directory, and the directory of every link on the way to it.
// names are those by which events there mean the file.
func (s source) places() (paths []string, names map[string]bool) {
	names = map[string]bool{}
	seen := map[string]bool{}
	add := func(path string) {
		if !seen[path] {
			seen[path] = true
			paths = append(paths, path)
		}
	}
	path, err := filepath.Abs(s.file())
	if err != nil {
		path = s.file()
	}
	add(s.path)
	for range maxLinks {
		dir, link := firstLink(path)
		if link == "" {
			break
		}
		add(dir)
		names[filepath.Join(dir, link)] = true
		to, err := os.Readlink(filepath.Join(dir, link))
		if err != nil {
			break
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(path, filepath.Join(dir, link)), "/")
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = filepath.Join(to, rest)
	}
	add(filepath.Dir(path))
	add(path)
	names[path] = true
	return paths, names
}

// firstLink returns the first symbolic link on the way down to path: the
// directory that it is in, which no link leads to, and its name.
func firstLink(path string) (dir, name string) {
	dir = "/"
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		info, err := os.Lstat(filepath.Join(dir, part))
		if err != nil {
			return "", ""
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return dir, part
		}
		dir = filepath.Join(dir, part)
	}
	return "", ""
}
