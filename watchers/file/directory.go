package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"smartstack/internal/service"
)

// directory is a directory of registrations. It remembers what it has read, so
// that a read costs one stat for each file that did not change.
type directory struct {
	path  string
	stale time.Duration // 0 = never

	known map[string]*entry
	next  time.Time // when the first of the live entries gets stale
}

// entry is one file as it was read last.
type entry struct {
	info    fs.FileInfo // nil when even that cannot be told
	payload []byte
	err     error // why it could not be read
	old     bool  // left out for its age
}

func newDirectory(path string, stale time.Duration) *directory {
	return &directory{path: path, stale: stale, known: map[string]*entry{}}
}

// registration tells whether a file of this name can be one.
func registration(name string) bool {
	return strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, ".")
}

// touches leaves out the renewal of a live file's time, which comes every few
// seconds for each instance and changes nothing.
func (d *directory) touches(e fsnotify.Event) bool {
	if e.Name == "" {
		return true // events were lost
	}
	name := filepath.Base(e.Name)
	if !registration(name) {
		return false
	}
	known := d.known[name]
	return e.Op != fsnotify.Chmod || known == nil || known.old || known.err != nil
}

func (d *directory) expiry() time.Time { return d.next }

func (d *directory) read(now time.Time) (service.Update, error) {
	names, err := os.ReadDir(d.path) // sorted, so the order is stable
	if err != nil {
		return service.Update{}, fmt.Errorf("file registry: %w", err)
	}
	var b service.Builder
	d.next = time.Time{}
	seen := make(map[string]*entry, len(names))
	for _, n := range names {
		name := n.Name()
		if !registration(name) || n.IsDir() {
			continue
		}
		e := d.look(name)
		if e == nil {
			continue
		}
		seen[name] = e
		e.old = d.isOld(e, now)
		switch {
		case e.old:
			b.Reject(name, fmt.Sprintf("was not renewed for more than %v: its nerve is gone", d.stale))
		case e.err != nil:
			b.Reject(name, e.err.Error())
		default:
			b.AddPayload(name, e.payload)
		}
	}
	d.known = seen
	return b.Update(), nil
}

// look returns the file as it is now; nil when it has vanished. A file that
// cannot be read says nothing new: what was read before stands.
func (d *directory) look(name string) *entry {
	path := filepath.Join(d.path, name)
	was := d.known[name]
	info, err := os.Stat(path)
	if gone(err) {
		return nil
	}
	if err == nil && was != nil && was.err == nil && unchanged(was.info, info) {
		return was
	}
	e := &entry{info: info}
	if err == nil {
		e.payload, err = readFile(path, service.MaxPayload)
	}
	switch {
	case err == nil && len(e.payload) > service.MaxPayload:
		e.payload, e.err = nil, fmt.Errorf("%d bytes are over the limit of %d", info.Size(), service.MaxPayload)
	case gone(err):
		return nil
	case errors.Is(err, errNotRegular):
		e.err = err
	case err != nil && was != nil:
		return was
	case err != nil:
		e.err = fmt.Errorf("cannot be read: %w", err)
	}
	return e
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// isOld tells whether e is past its time, and notes when the next one will be.
func (d *directory) isOld(e *entry, now time.Time) bool {
	if d.stale == 0 || e.info == nil {
		return false
	}
	until := e.info.ModTime().Add(d.stale)
	if until.Before(now) {
		return true
	}
	if d.next.IsZero() || until.Before(d.next) {
		d.next = until
	}
	return false
}
