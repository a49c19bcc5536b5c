// Package atomicfile replaces a file so that every reader sees either the old
// or the new content, also after a crash or a power cut.
//
// The content is staged in another directory, by default ".synapse" beside the
// target: someone who watches the target's directory with inotify sees exactly
// one event, the rename, and never a half-written file. Only the first write
// ever makes that directory, which is an event too; call Prepare at start to
// have it out of the way.
//
//	dir, err := os.OpenRoot("/etc/haproxy")
//	…
//	err = atomicfile.Write(dir, "haproxy.cfg", text, 0o644, atomicfile.Options{})
//
// A writer that wants to look at the file before it goes live uses the two
// halves of Write:
//
//	staged, err := atomicfile.Stage(dir, "haproxy.cfg", text, 0o644, atomicfile.Options{})
//	…
//	if err := check(staged.Path()); err != nil {
//		return errors.Join(err, staged.Discard())
//	}
//	return staged.Commit()
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultStage is the staging directory, relative to the target's directory.
const DefaultStage = ".synapse"

// leftover is the age from which Prepare removes what a killed process left in
// the staging directory.
const leftover = time.Hour

// Options changes how a file is written. The zero value is the safe choice.
type Options struct {
	// Stage is the staging directory, relative to the target's directory and
	// on the same file system; empty means DefaultStage.
	Stage string
	// Temp is the name of the staged file in there, for a writer that is alone;
	// what an earlier one has left under that name is replaced. Empty = a name
	// that nobody else has.
	Temp string
	// NoSync leaves out the two fsyncs: readers still see whole files, but a
	// power cut may bring back the old one, or an empty one.
	NoSync bool
}

func (o Options) stage(name string) string {
	if o.Stage == "" {
		o.Stage = DefaultStage
	}
	return filepath.Join(filepath.Dir(name), o.Stage)
}

// Prepare makes the staging directory for name and removes what an earlier,
// killed process left in it.
func Prepare(dir *os.Root, name string, o Options) error {
	stage := o.stage(name)
	if err := dir.MkdirAll(stage, 0o755); err != nil {
		return fmt.Errorf("staging directory of %s: %w", full(dir, name), err)
	}
	d, err := dir.Open(stage)
	if err != nil {
		return fmt.Errorf("staging directory of %s: %w", full(dir, name), err)
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	for _, e := range entries {
		info, statErr := e.Info()
		if statErr == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftover {
			err = errors.Join(err, dir.Remove(filepath.Join(stage, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("tidying the staging directory of %s: %w", full(dir, name), err)
	}
	return nil
}

// Write replaces name, a path below dir, by data with exactly the permissions
// perm. After an error the old file is untouched.
func Write(dir *os.Root, name string, data []byte, perm fs.FileMode, o Options) error {
	s, err := Stage(dir, name, data, perm, o)
	if err != nil {
		return err
	}
	return s.Commit()
}

// Staged is a complete file that is not yet at its target. Its owner calls
// Commit or Discard, once.
type Staged struct {
	dir        *os.Root
	temp, name string
	noSync     bool
}

// Stage writes data beside the target, making the staging directory when it is
// not there.
func Stage(dir *os.Root, name string, data []byte, perm fs.FileMode, o Options) (*Staged, error) {
	return StageFrom(dir, name, bytes.NewReader(data), perm, o)
}

// StageFrom is Stage for what need not be in memory as a whole.
func StageFrom(dir *os.Root, name string, content io.WriterTo, perm fs.FileMode, o Options) (*Staged, error) {
	s := o.staged(dir, name)
	if o.Temp != "" {
		if err := dir.Remove(s.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("writing %s: %w", full(dir, name), err)
		}
	}
	f, err := create(dir, s.temp)
	if errors.Is(err, fs.ErrNotExist) {
		// Mkdir, not MkdirAll: a target directory that is gone is the caller's
		// to know about, not ours to make again.
		if err = dir.Mkdir(filepath.Dir(s.temp), 0o755); err == nil || errors.Is(err, fs.ErrExist) {
			f, err = create(dir, s.temp)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", full(dir, name), err)
	}
	_, err = content.WriteTo(f)
	return s.written(f, err, perm)
}

// Amend stages a text that begins as the one that waits under the name o.Temp:
// that keeps its first bytes, and rest replaces the others. It costs what rest
// does, where StageFrom costs the whole. What waits there must be the caller's
// own; after an error it is gone.
func Amend(dir *os.Root, name string, keep int64, rest io.WriterTo, perm fs.FileMode, o Options) (*Staged, error) {
	s := o.staged(dir, name)
	f, err := dir.OpenFile(s.temp, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", full(dir, name), errors.Join(err, s.Discard()))
	}
	_, err = f.Seek(keep, io.SeekStart)
	var n int64
	if err == nil {
		n, err = rest.WriteTo(f)
	}
	if err == nil {
		err = f.Truncate(keep + n)
	}
	return s.written(f, err, perm)
}

func (o Options) staged(dir *os.Root, name string) *Staged {
	if o.Temp == "" {
		o.Temp = filepath.Base(name) + "." + strconv.FormatUint(rand.Uint64(), 36)
	}
	return &Staged{dir: dir, temp: filepath.Join(o.stage(name), o.Temp), name: name, noSync: o.NoSync}
}

// written ends the writing of f, of which err came so far.
func (s *Staged) written(f *os.File, err error, perm fs.FileMode) (*Staged, error) {
	if err == nil {
		err = f.Chmod(perm) // the umask must not decide who can read it
	}
	if err == nil && !s.noSync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("writing %s: %w", full(s.dir, s.name), errors.Join(err, s.Discard()))
	}
	return s, nil
}

func create(dir *os.Root, temp string) (*os.File, error) {
	return dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Path returns where the staged file can be read.
func (s *Staged) Path() string { return full(s.dir, s.temp) }

// Commit puts the file in the target's place.
func (s *Staged) Commit() error {
	if err := s.dir.Rename(s.temp, s.name); err != nil {
		return fmt.Errorf("replacing %s: %w", full(s.dir, s.name), errors.Join(err, s.Discard()))
	}
	if s.noSync {
		return nil
	}
	if err := syncDir(s.dir, filepath.Dir(s.name)); err != nil {
		return fmt.Errorf("replaced %s, but it may not survive a power cut: %w", full(s.dir, s.name), err)
	}
	return nil
}

// Discard removes the staged file and leaves the target alone.
func (s *Staged) Discard() error { return s.dir.Remove(s.temp) }

func syncDir(dir *os.Root, name string) error {
	d, err := dir.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func full(dir *os.Root, name string) string { return filepath.Join(dir.Name(), name) }
