// Package file registers services as files: a directory per service, in it one
// file per instance that holds nerve's usual payload.
//
//	{"host": "10.0.0.1", "port": 8080, "reporter_type": "file", "path": "/run/services/web"}
//
// makes /run/services/web/i-1_10.0.0.1_8080.json while the service is up. The
// file's time of modification is the sign of life: it is renewed every
// refresh_interval, and readers ignore files that are too old, so a nerve that
// was killed counts as withdrawn soon after. Files appear and change by rename
// only, so nobody reads half of one.
package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/atomicfile"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// stage keeps half-written files out of the sight of the directory's watchers.
const stage = ".nerve"

// Options are the reporter's keys.
type Options struct {
	Path    string         `cfg:"path,required" doc:"Directory for this service's registrations; made when it is not there."`
	Refresh config.Seconds `cfg:"refresh_interval" default:"5" doc:"How often the file's time is renewed, in seconds; keep it well below the watcher's stale_after."`
}

// Reporter keeps one file true.
type Reporter struct {
	o   Options
	log *slog.Logger

	mine    fs.FileInfo // the file as this reporter wrote it; nil = it wrote none
	name    string      // of mine
	payload []byte      // in mine
	touched time.Time   // when its time was last renewed
}

// New returns a reporter; it touches no file yet.
func New(o Options, log *slog.Logger) (*Reporter, error) {
	if o.Path == "" {
		return nil, errors.New("path: is empty; want a directory")
	}
	if o.Refresh <= 0 {
		return nil, errors.New("refresh_interval: want more than 0 seconds")
	}
	return &Reporter{o: o, log: log}, nil
}

// Report makes the file exist with the right content, or not exist.
func (r *Reporter) Report(_ context.Context, reg service.Registration) error {
	name := fileName(reg.Backend)
	if !reg.Up {
		return r.remove(name)
	}
	payload := reg.Payload()
	if r.intact(name, payload) {
		return r.refresh()
	}
	if r.mine != nil {
		r.log.Info("registering again", "path", r.path(name),
			"reason", "the file vanished, was replaced, or is to change")
	}
	was, wasName := r.mine, r.name
	if err := r.write(name, payload); err != nil {
		return err
	}
	if was != nil && wasName != name {
		return r.removeIf(wasName, was)
	}
	return nil
}

// Close withdraws the file this reporter made; the file of a successor, which
// has the same name, stays.
func (r *Reporter) Close(context.Context) error {
	mine := r.mine
	r.mine = nil
	if mine == nil {
		return nil
	}
	return r.removeIf(r.name, mine)
}

// intact tells whether the file is still the one we wrote, as we left it.
func (r *Reporter) intact(name string, payload []byte) bool {
	if r.mine == nil || name != r.name || !bytes.Equal(payload, r.payload) {
		return false
	}
	now, err := os.Lstat(r.path(name))
	return err == nil && os.SameFile(now, r.mine) && now.Size() == r.mine.Size() && now.ModTime().Equal(r.mine.ModTime())
}

// refresh renews the sign of life when it is due.
func (r *Reporter) refresh() error {
	now := time.Now()
	if now.Sub(r.touched) < r.o.Refresh.Duration() {
		return nil
	}
	path := r.path(r.name)
	if err := os.Chtimes(path, time.Time{}, now); err != nil {
		return fmt.Errorf("renewing the time of a registration: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("renewing the time of a registration: %w", err)
	}
	r.mine, r.touched = info, now
	return nil
}

func (r *Reporter) write(name string, payload []byte) error {
	dir, err := os.OpenRoot(r.o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(r.o.Path, 0o755); err == nil {
			dir, err = os.OpenRoot(r.o.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("directory for registrations: %w", err)
	}
	defer dir.Close()
	// No fsync: after a power cut nothing is registered anyway.
	staged, err := atomicfile.Stage(dir, name, payload, 0o644, atomicfile.Options{Stage: stage, NoSync: true})
	if err != nil {
		return err
	}
	info, err := os.Lstat(staged.Path()) // before the rename: later it could be a successor's
	if err != nil {
		return errors.Join(err, staged.Discard())
	}
	if err := staged.Commit(); err != nil {
		return err
	}
	r.mine, r.name, r.payload, r.touched = info, name, payload, time.Now()
	return nil
}

// remove removes the registration under name, also one that a killed
// predecessor left: the name says that it speaks for this instance.
func (r *Reporter) remove(name string) error {
	r.mine = nil
	info, err := os.Lstat(r.path(name))
	if err != nil || !info.Mode().IsRegular() {
		return notExistIsFine(err)
	}
	return notExistIsFine(os.Remove(r.path(name)))
}

// removeIf removes the file under name if it is still the one in mine.
func (r *Reporter) removeIf(name string, mine fs.FileInfo) error {
	info, err := os.Lstat(r.path(name))
	if err != nil || !os.SameFile(info, mine) {
		return notExistIsFine(err)
	}
	return notExistIsFine(os.Remove(r.path(name)))
}

func (r *Reporter) path(name string) string { return filepath.Join(r.o.Path, name) }

func notExistIsFine(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("withdrawing: %w", err)
}

// longestStem keeps the name of a file, with the staging suffix, below the
// file systems' limit of 255 bytes.
const longestStem = 200

// fileName is `<name>_<host>_<port>.json` with every other character than
// letters, digits, dot, minus and underscore as %XX, so that two instances
// never share a file and none can leave the directory or hide from readers.
func fileName(b service.Backend) string {
	var out strings.Builder
	for i, c := range []byte(b.Name + "_" + b.Host + "_" + strconv.Itoa(b.Port)) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	stem := out.String()
	if len(stem) > longestStem {
		sum := sha256.Sum256([]byte(stem))
		stem = fmt.Sprintf("%s~%x", stem[:longestStem-33], sum[:16])
	}
	return stem + ".json"
}
