// Package confwatch tells when the files of a configuration are others than
// before: the file itself, and the services' files in service_conf_dir.
//
// It looks at what is in the files, not at their times, and believes a change
// only when two looks in a row, a moment apart, see the same: a file that is
// being written is looked at again until that is over. (A file that stays half
// written is then seen as it is; whoever reads it finds it bad, or whole again at
// the next change. Writers who rename a finished file into place leave no such
// moment.)
package confwatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Files names what to look at.
type Files struct {
	Main string // the configuration file
	Dir  string // of the services' files; empty = none
}

// The times of a Watcher.
const (
	settle    = 300 * time.Millisecond // between two looks that have to agree
	pollEvery = 10 * time.Second       // where the system tells nothing of changes
	maxLooks  = 20                     // before a file that never rests is taken as it is
)

// Watcher watches one configuration.
type Watcher struct {
	files  Files
	log    *slog.Logger
	settle time.Duration
	poll   time.Duration

	last  string // what is known: the sum at the last change, or at the beginning
	fault string // why the files could not be read at the last look
}

// New makes a watcher, for what stands in the files now: last is Sum's word on
// what was read, so that nothing between the two is missed.
func New(files Files, last string, log *slog.Logger) *Watcher {
	return &Watcher{files: files, log: log, settle: settle, poll: pollEvery, last: last}
}

// Sum returns a text that is the same as long as the files are.
func Sum(files Files) (string, error) {
	sum := sha256.New()
	add := func(path string) error {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && path != files.Main {
			return nil // it went between the list and the look
		}
		fmt.Fprintf(sum, "%q %d\n", path, len(data))
		_, _ = sum.Write(data) // a hash takes everything
		return err
	}
	if err := add(files.Main); err != nil {
		return "", err
	}
	if files.Dir == "" {
		return string(sum.Sum(nil)), nil
	}
	entries, err := os.ReadDir(files.Dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		name := e.Name()
		ours := strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".yaml")
		if !ours || strings.HasPrefix(name, ".") {
			continue
		}
		if err := add(filepath.Join(files.Dir, name)); err != nil {
			return "", err
		}
	}
	return string(sum.Sum(nil)), nil
}

// Run calls changed after each change until ctx ends. changed is called by Run's
// goroutine, and must not block for long.
func (w *Watcher) Run(ctx context.Context, changed func()) {
	events, stop := w.listen()
	defer stop()
	timer := time.NewTimer(w.settle)
	defer timer.Stop()
	var seen string // at the last look, when that was a change
	looks := 0
	soon := true // timer ends within settle: events that never cease must not put it off
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if !soon {
				timer.Reset(w.settle)
				soon = true
			}
			continue
		case <-timer.C:
		}
		soon = false
		now, ok := w.look()
		looks++
		switch {
		case !ok || now == w.last:
			seen, looks = "", 0
			timer.Reset(w.poll)
		case now == seen || looks > maxLooks:
			w.last, seen, looks = now, "", 0
			changed()
			timer.Reset(w.poll)
		default:
			seen, soon = now, true
			timer.Reset(w.settle)
		}
	}
}

// look sums the files; a fault is logged once.
func (w *Watcher) look() (string, bool) {
	now, err := Sum(w.files)
	if err == nil {
		w.fault = ""
		return now, true
	}
	if w.fault != err.Error() {
		w.fault = err.Error()
		w.log.Warn("the configuration's files cannot be looked at; what was read stays in force", "err", err)
	}
	return "", false
}

// listen returns a channel that tells of events in the files' directories. It
// stays silent where the system does not tell: then looking at intervals finds
// what changes.
func (w *Watcher) listen() (<-chan struct{}, func()) {
	events := make(chan struct{}, 1)
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("no events of files; changes are found by looking", "interval", w.poll.String(), "err", err)
		return events, func() {}
	}
	dirs := []string{filepath.Dir(w.files.Main)}
	if w.files.Dir != "" {
		dirs = append(dirs, w.files.Dir)
	}
	for _, dir := range dirs {
		if err := notify.Add(dir); err != nil {
			w.log.Warn("no events of "+dir+"; changes there are found by looking", "interval", w.poll.String(), "err", err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case _, ok := <-notify.Events:
				if !ok {
					return
				}
			case _, ok := <-notify.Errors: // an overflow: something has happened
				if !ok {
					return
				}
			}
			select {
			case events <- struct{}{}:
			default:
			}
		}
	}()
	return events, func() { _ = notify.Close(); <-done }
}
