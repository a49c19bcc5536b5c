package haproxy

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"smartstack/internal/atomicfile"
)

// defaultMode is the mode of a file that was not there before.
const defaultMode = 0o644

// target is the file that HAProxy reads. A symbolic link is followed at every
// write: the file it leads to is replaced and the link stays. Mode and owner
// of an existing file are kept. Its directory is opened afresh for every step,
// so that one which was taken away and came back is no lasting fault.
type target struct {
	path  string // as configured
	owner owner  // we
	lock  *os.File
	disk  *bufio.Writer // kept from one text to the next
	spare *spare        // nil = there is none
}

// stamp tells whether a file is still the one that was written.
type stamp struct {
	dev, ino uint64
	size     int64
	modified time.Time
}

// place opens the directory of the file that path leads to.
func (t *target) place() (dir *os.Root, name string, err error) {
	path, err := filepath.EvalSymlinks(t.path)
	if errors.Is(err, fs.ErrNotExist) { // the file, or what the link leads to, is yet to be made
		path = t.path
		if to, linkErr := os.Readlink(t.path); linkErr == nil {
			if path = to; !filepath.IsAbs(to) {
				path = filepath.Join(filepath.Dir(t.path), to)
			}
		}
	} else if err != nil {
		return nil, "", fmt.Errorf("looking for %s: %w", t.path, err)
	}
	if dir, err = os.OpenRoot(filepath.Dir(path)); err != nil {
		return nil, "", fmt.Errorf("directory of %s: %w", t.path, err)
	}
	return dir, filepath.Base(path), nil
}

// claim takes the lock that keeps a second synapse away from the file, and
// holds it until release. It is cheap when the lock is already held.
func (t *target) claim() error {
	dir, name, err := t.place()
	if err != nil {
		return err
	}
	defer dir.Close()
	// A directory of its own: Prepare tidies old files away, but not directories.
	file := filepath.Join(atomicfile.DefaultStage, "lock", name)
	if t.holds(dir, file) {
		return nil
	}
	t.release()
	if err := atomicfile.Prepare(dir, name, atomicfile.Options{}); err != nil {
		return err
	}
	if err := dir.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("lock of %s: %w", t.path, err)
	}
	lock, err := dir.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("lock of %s: %w", t.path, err)
	}
	if err := takeLock(lock, t.path, t.owner); err != nil {
		return errors.Join(err, lock.Close())
	}
	t.lock = lock
	return nil
}

// holds reports whether the lock is held and still the file that everyone
// else would try to lock.
func (t *target) holds(dir *os.Root, file string) bool {
	if t.lock == nil {
		return false
	}
	ours, err := t.lock.Stat()
	if err != nil {
		return false
	}
	there, err := dir.Stat(file)
	return err == nil && os.SameFile(ours, there)
}

// release gives the lock back.
func (t *target) release() {
	if t.lock != nil {
		_ = t.lock.Close()
		t.lock = nil
	}
}

// read returns the file and its stamp. A file that is not there is empty and
// has the zero stamp.
func (t *target) read() ([]byte, stamp, error) {
	dir, name, err := t.place()
	if err != nil {
		return nil, stamp{}, err
	}
	defer dir.Close()
	s, _, err := stampOf(dir, name)
	if err != nil || s == (stamp{}) {
		return nil, s, err
	}
	text, err := dir.ReadFile(name)
	if err != nil {
		return nil, stamp{}, fmt.Errorf("reading %s: %w", t.path, err)
	}
	return text, s, nil
}

// stat returns the file's stamp now; the zero stamp when there is none.
func (t *target) stat() (stamp, error) {
	dir, name, err := t.place()
	if err != nil {
		return stamp{}, err
	}
	defer dir.Close()
	s, _, err := stampOf(dir, name)
	return s, err
}

// stage writes m beside the file, ready to take its place.
func (t *target) stage(m Model) (*staged, error) {
	dir, name, err := t.place()
	if err != nil {
		return nil, err
	}
	_, info, err := stampOf(dir, name)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	mode := fs.FileMode(defaultMode)
	if info != nil {
		mode = info.Mode().Perm()
	}
	s := t.amendSpare(dir, name, m, mode)
	if s == nil {
		if s, err = atomicfile.StageFrom(dir, name, t.pieces(m), mode, atomicfile.Options{}); err != nil {
			return nil, errors.Join(err, dir.Close())
		}
	}
	keepOwner(s.Path(), info)
	st := &staged{Staged: s, dir: dir}
	rel, err := filepath.Rel(dir.Name(), s.Path())
	if err == nil {
		st.stamp, _, err = stampOf(dir, rel)
	}
	if err != nil {
		return nil, errors.Join(err, st.discard())
	}
	return st, nil
}

// pieces returns text as it is written to the disk.
func (t *target) pieces(text io.WriterTo) io.WriterTo {
	if t.disk == nil {
		t.disk = bufio.NewWriterSize(nil, 1<<16)
	}
	return pieces{text, t.disk}
}

// pieces is a text that is written in pieces which a disk likes.
type pieces struct {
	text io.WriterTo
	buf  *bufio.Writer
}

func (p pieces) WriteTo(w io.Writer) (int64, error) {
	p.buf.Reset(w)
	defer p.buf.Reset(nil)
	n, err := p.text.WriteTo(p.buf)
	return n, cmp.Or(err, p.buf.Flush())
}

// keepOwner gives the new file the old one's owner. Only root can do that to
// a stranger's file; for everyone else the file becomes ours, as it would
// have with the originals.
func keepOwner(path string, old fs.FileInfo) {
	if old == nil {
		return
	}
	if sys, ok := old.Sys().(*syscall.Stat_t); ok && (int(sys.Uid) != os.Geteuid() || int(sys.Gid) != os.Getegid()) {
		_ = os.Chown(path, int(sys.Uid), int(sys.Gid))
	}
}

// staged is a text that waits beside the file. Its owner calls commit or
// discard, once.
type staged struct {
	*atomicfile.Staged
	dir *os.Root
	// stamp is the file's, before and after commit. What is found there once it
	// is live may be somebody else's doing already.
	stamp stamp
}

// commit puts the text in the file's place and returns its stamp.
func (s *staged) commit() (stamp, error) {
	defer s.dir.Close()
	if err := s.Commit(); err != nil {
		if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%w (is the file itself a mount? mount its directory instead)", err)
		}
		return stamp{}, err
	}
	return s.stamp, nil
}

func (s *staged) discard() error {
	return errors.Join(s.Discard(), s.dir.Close())
}

func stampOf(dir *os.Root, name string) (stamp, fs.FileInfo, error) {
	info, err := dir.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil, nil
	}
	if err != nil {
		return stamp{}, nil, fmt.Errorf("looking at %s: %w", filepath.Join(dir.Name(), name), err)
	}
	if !info.Mode().IsRegular() {
		return stamp{}, nil, fmt.Errorf("%s is no file but %v: config_file_path must name a file", filepath.Join(dir.Name(), name), kindOf(info.Mode()))
	}
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = sys.Dev, sys.Ino
	}
	return s, info, nil
}

func kindOf(mode fs.FileMode) string {
	if mode.IsDir() {
		return "a directory"
	}
	return "of mode " + mode.String()
}

// dueFile stands beside the lock from the moment that a file goes live which
// needs a reload until the reload has been done, so that the next run knows.
func (t *target) dueFile(name string) string {
	return filepath.Join(atomicfile.DefaultStage, "lock", name+".reload-due")
}

// toldFile returns the path of the journal of what HAProxy was told over its
// socket.
func (t *target) toldFile() string {
	file := filepath.Join(atomicfile.DefaultStage, "lock")
	dir, name, err := t.place()
	if err != nil { // it is made when something is to be kept
		return filepath.Join(filepath.Dir(t.path), file, filepath.Base(t.path)+".told")
	}
	defer dir.Close()
	return filepath.Join(dir.Name(), file, name+".told")
}

// setDue remembers across runs whether HAProxy is yet to load the file. It is
// a help, not a promise: an error is nobody's concern.
func (t *target) setDue(due bool) {
	dir, name, err := t.place()
	if err != nil {
		return
	}
	defer dir.Close()
	if due {
		_ = dir.WriteFile(t.dueFile(name), nil, defaultMode)
	} else {
		_ = dir.Remove(t.dueFile(name))
	}
}

// isDue reports what setDue has remembered.
func (t *target) isDue() bool {
	dir, name, err := t.place()
	if err != nil {
		return false
	}
	defer dir.Close()
	_, err = dir.Stat(t.dueFile(name))
	return err == nil
}

// oursFile stands beside the lock and has the stamps of the file that is live
// and of the one that is about to be, so that the next run knows whether somebody
// else has changed the file meanwhile.
func (t *target) oursFile(name string) string {
	return filepath.Join(atomicfile.DefaultStage, "lock", name+".ours")
}

// setOurs notes which files are ours. Like setDue it is a help, not a promise.
func (t *target) setOurs(stamps ...stamp) {
	dir, name, err := t.place()
	if err != nil {
		return
	}
	defer dir.Close()
	var text []byte
	for _, s := range stamps {
		text = fmt.Appendln(text, s.dev, s.ino, s.size, s.modified.UnixNano())
	}
	_ = dir.WriteFile(t.oursFile(name), text, defaultMode)
}

// isOurs reports whether a file with this stamp is one of ours, as far as is
// known: all are when nothing is noted.
func (t *target) isOurs(s stamp) bool {
	dir, name, err := t.place()
	if err != nil {
		return true
	}
	defer dir.Close()
	text, err := dir.ReadFile(t.oursFile(name))
	if err != nil || len(text) == 0 || text[len(text)-1] != '\n' {
		return true
	}
	return slices.Contains(strings.Split(string(text), "\n"), fmt.Sprint(s.dev, s.ino, s.size, s.modified.UnixNano()))
}
