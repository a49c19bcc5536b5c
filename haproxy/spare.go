package haproxy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"smartstack/internal/atomicfile"
)

const (
	// spareAfter is how long after a write the spare is made: a fleet that changes
	// all the time is not written twice.
	spareAfter = calm - 100*time.Millisecond
	// spareFrom is the size in bytes from which a spare is made. Of a smaller file
	// the syncing takes as long as the writing.
	spareFrom = 64 << 10
)

// spare is a second copy of the file, synced, that waits beside it. The next
// text is made of it by writing only what follows the first section that has
// changed. Nobody reads it before it takes the file's place.
type spare struct {
	says  Model
	stamp stamp // as we have left it
}

// spareOptions are those of the spare's file, which has one name: what a killed
// run has left is replaced, and never adds up.
func spareOptions(name string) atomicfile.Options {
	return atomicfile.Options{Temp: name + ".spare"}
}

func spareFile(name string) string {
	return filepath.Join(atomicfile.DefaultStage, spareOptions(name).Temp)
}

// keepSpare makes the spare, of what the file says.
func (t *target) keepSpare(says Model) error {
	dir, name, err := t.place()
	if err != nil {
		return err
	}
	defer dir.Close()
	t.spare = nil
	s, err := atomicfile.StageFrom(dir, name, t.pieces(says), 0o600, spareOptions(name))
	if err != nil {
		return err
	}
	stamp, _, err := stampOf(dir, spareFile(name))
	if err != nil {
		return errors.Join(err, s.Discard())
	}
	t.spare = &spare{says, stamp}
	return nil
}

// amendSpare stages m by way of the spare, which is gone then; nil = it cannot.
func (t *target) amendSpare(dir *os.Root, name string, m Model, mode fs.FileMode) *atomicfile.Staged {
	was := t.spare
	t.spare = nil
	if was == nil {
		return nil
	}
	if now, _, err := stampOf(dir, spareFile(name)); err != nil || now != was.stamp {
		return nil
	}
	keep := m.common(was.says)
	s, err := atomicfile.Amend(dir, name, keep, t.pieces(behind{m, keep}), mode, spareOptions(name))
	if err != nil {
		return nil // what is wrong comes up again when the whole is written
	}
	return s
}

// dropSpare removes the spare.
func (t *target) dropSpare() {
	if t.spare == nil {
		return
	}
	t.spare = nil
	if dir, name, err := t.place(); err == nil {
		_ = dir.Remove(spareFile(name))
		_ = dir.Close()
	}
}

// common returns with how many bytes both files begin, as far as that is known
// without comparing sections that are not the same.
func (m Model) common(o Model) int64 {
	n := int64(len(header))
	if !sameText(m.Preamble, o.Preamble) {
		return n
	}
	n += int64(len(m.Preamble))
	for i := range min(len(m.Sections), len(o.Sections)) {
		if m.Sections[i] != o.Sections[i] {
			break
		}
		n += int64(len(m.Sections[i].Text))
	}
	return n
}

// behind is the text of m behind its first bytes.
type behind struct {
	m     Model
	first int64
}

func (b behind) WriteTo(w io.Writer) (n int64, err error) {
	skip := b.first
	b.m.parts(func(part []byte) {
		rest := part[min(skip, int64(len(part))):]
		skip -= int64(len(part) - len(rest))
		if len(rest) > 0 && err == nil {
			var wrote int
			wrote, err = w.Write(rest)
			n += int64(wrote)
		}
	})
	return n, err
}
