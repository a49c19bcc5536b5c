package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// Options are the watcher's keys.
type Options struct {
	Path     string         `cfg:"path,required" doc:"Directory of registrations, or a file with a list of backends."`
	Stale    config.Seconds `cfg:"stale_after" default:"15" doc:"Age from which a registration in a directory counts as withdrawn, in seconds; 0 = never."`
	Interval config.Seconds `cfg:"check_interval" default:"5" doc:"Time between two full reads, in seconds; changes are seen at once besides."`
}

// Watcher follows one directory or file.
type Watcher struct {
	o   Options
	log *slog.Logger
}

// New returns a watcher; it touches no file yet.
func New(o Options, log *slog.Logger) (*Watcher, error) {
	switch {
	case o.Path == "":
		return nil, errors.New("path: is empty")
	case o.Stale < 0:
		return nil, errors.New("stale_after: want 0 or more seconds")
	case o.Interval <= 0:
		return nil, errors.New("check_interval: want more than 0 seconds")
	}
	return &Watcher{o: o, log: log}, nil
}

// source is what a path turned out to be.
type source interface {
	// read looks at everything and returns what is there now.
	read(now time.Time) (service.Update, error)
	// touches tells whether an event can change what read returns.
	touches(e fsnotify.Event) bool
	// expiry is when read will return something else for no other reason than
	// time; zero = never.
	expiry() time.Time
}

// Run follows the path until ctx ends or the path cannot be read. An error
// leaves what was published standing.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	info, err := os.Stat(w.o.Path)
	if err != nil {
		return fmt.Errorf("file registry: %w", err)
	}
	var src source = &list{path: w.o.Path}
	watched := filepath.Dir(w.o.Path)
	if info.IsDir() {
		src, watched = newDirectory(w.o.Path, w.o.Stale.Duration()), w.o.Path
	}
	events, stop := w.notify(watched)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var noticed time.Time
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-events:
			if !ok {
				events = nil // the timer goes on
				continue
			}
			if e.Name == w.o.Path && info.IsDir() && e.Has(fsnotify.Remove|fsnotify.Rename) {
				return fmt.Errorf("file registry: %s is gone", w.o.Path)
			}
			noticed = time.Now()
			if !anyTouches(src, e, events) {
				continue
			}
		case <-timer.C:
		}
		now := time.Now()
		u, err := src.read(now)
		if err != nil {
			return err
		}
		u.Noticed = noticed
		publish(u)
		timer.Reset(wait(now, w.o.Interval.Duration(), src.expiry()))
	}
}

// wait is the time to the next read that no event asks for.
func wait(now time.Time, interval time.Duration, expiry time.Time) time.Duration {
	if !expiry.IsZero() {
		// A little late rather than just before the file's age is reached.
		interval = min(interval, expiry.Sub(now)+time.Millisecond)
	}
	return max(interval, time.Millisecond)
}

// anyTouches looks at e and at all events that wait behind it, so that a burst
// costs one read.
func anyTouches(src source, e fsnotify.Event, events <-chan fsnotify.Event) bool {
	touched := src.touches(e)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return true
			}
			touched = src.touches(e) || touched
		default:
			return touched
		}
	}
}

// notify starts to watch a directory. Without inotify it returns a nil channel.
func (w *Watcher) notify(dir string) (events <-chan fsnotify.Event, stop func()) {
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		if err = watcher.Add(dir); err == nil {
			return merged(watcher)
		}
		_ = watcher.Close()
	}
	w.log.Warn("changes are seen at the next full read only", "watcher", "file", "err", err,
		"check_interval", w.o.Interval.Duration(), "reason", "inotify cannot be used; see fs.inotify.max_user_instances and max_user_watches")
	return nil, func() {}
}

// merged turns errors, such as lost events, into an event that touches all.
func merged(watcher *fsnotify.Watcher) (events <-chan fsnotify.Event, stop func()) {
	out, done, ended := make(chan fsnotify.Event), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(out)
		for {
			var e fsnotify.Event
			var ok bool
			select {
			case e, ok = <-watcher.Events:
			case _, ok = <-watcher.Errors:
			case <-done:
				return
			}
			if !ok {
				return
			}
			select {
			case out <- e:
			case <-done:
				return
			}
		}
	}()
	return out, func() {
		close(done)
		_ = watcher.Close()
		<-ended
	}
}

// readFile reads at most limit+1 bytes of a regular file. It cannot be held up
// by a pipe or a device in the file's place.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return io.ReadAll(io.LimitReader(f, limit+1))
}

var errNotRegular = errors.New("is no regular file")

// gone tells that a file vanished between the listing and the look at it.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
