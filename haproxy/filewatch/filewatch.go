package filewatch

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"
)

// The defaults of Options.
const (
	DefaultName     = "haproxy.cfg"
	defaultPoll     = time.Second
	defaultInterval = 500 * time.Millisecond
	firstRetry      = 5 * time.Second
	longestRetry    = time.Minute
	// deepEvery is how many polls pass until the file is read although it looks
	// untouched: a writer through mmap leaves no trace for a while.
	deepEvery = 10
)

// Options say what is followed. Source, Running, Check and Reload are needed.
type Options struct {
	Source  string // a directory, or a file
	Name    string // of the file, if Source is a directory; default DefaultName
	Running string // the copy that HAProxy runs with

	// Check looks at the text staged at path. Its error is the reason to refuse.
	Check func(ctx context.Context, path string) error
	// Preflight says why HAProxy could not run with text, although Check is
	// content, in place of running, the text that it runs with. Nil = not asked.
	Preflight func(text, running []byte) error
	// Reload makes HAProxy load Running, and returns nil when a worker that has
	// read it serves.
	Reload func(ctx context.Context) error
	// States is what the HAProxy that runs answers to "show servers state"; empty
	// = none runs. Nil = states are not carried over a reload.
	States func(ctx context.Context) (string, error)

	Poll     time.Duration // how often to look without being told; default 1 s
	Interval time.Duration // at least between two reloads; default 500 ms, negative = none
}

// Status is what is known of the file. It is immutable.
type Status struct {
	Source  string    `json:"source"`
	Loaded  string    `json:"loaded"` // short checksum of what HAProxy runs with; empty = the built-in file
	Since   time.Time `json:"since"`
	Reloads int       `json:"reloads"`
	Refused int       `json:"refused"`
	Fault   string    `json:"fault,omitempty"` // why HAProxy does not run with what is there
}

// Watcher follows one file. Run owns its state; the other methods may be called
// from any goroutine.
type Watcher struct {
	o      Options
	log    *slog.Logger
	source source
	force  chan struct{}
	status atomic.Pointer[Status]

	// Of Run.
	judge   judge
	last    reading
	copy    running
	notify  *notifier
	names   map[string]bool
	state   Status
	orphan  bool // that the file has lost its name was said
	unheard bool // that inotify does not work was said
}

// New returns a watcher; it does no I/O.
func New(o Options, log *slog.Logger) *Watcher {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Poll <= 0 {
		o.Poll = defaultPoll
	}
	if o.Interval == 0 {
		o.Interval = defaultInterval
	}
	w := &Watcher{
		o: o, log: log, source: source{path: o.Source, name: o.Name}, force: make(chan struct{}, 1),
		judge: judge{interval: max(o.Interval, 0), first: firstRetry, limit: longestRetry},
		copy: running{path: o.Running, states: states{
			ask: o.States, own: filepath.Join(filepath.Dir(o.Running), "server-state"), log: log,
		}},
		state: Status{Source: o.Source},
	}
	w.publish()
	return w
}

// Status returns what is known.
func (w *Watcher) Status() Status { return *w.status.Load() }

// Force loads the file again, whatever was thought of it. It does not block.
func (w *Watcher) Force() {
	select {
	case w.force <- struct{}{}:
	default:
	}
}

func (w *Watcher) publish() {
	s := w.state
	w.status.Store(&s)
}

// Run starts HAProxy with the file, or with the built-in one, and follows the
// file until ctx ends. An error means that not even the built-in file can be
// put in place.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.copy.begin(); err != nil {
		return err
	}
	if n, err := newNotifier(); err == nil {
		w.notify = n
		defer n.close()
	} else {
		w.deaf(ctx, err)
	}
	w.judge.closed = true // it was there before us
	if w.look(ctx, true); w.judge.fault != "" || !w.act(ctx).load || w.state.Loaded == "" {
		w.idle(ctx)
	}
	w.follow(ctx)
	return nil
}

// follow looks at the file whenever there is a reason.
func (w *Watcher) follow(ctx context.Context) {
	var ready, resume chan struct{}
	if w.notify != nil {
		ready, resume = w.notify.ready, w.notify.resume
	}
	poll := time.NewTicker(w.o.Poll)
	defer poll.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for polls := 0; ; {
		deep := false
		select {
		case <-ctx.Done():
			return
		case <-ready:
			w.hear()
			<-resume
		case <-poll.C:
			polls++
			deep = polls%deepEvery == 0
		case <-due.C:
		case <-w.force:
			w.judge.forced, deep = true, true
		}
		w.look(ctx, deep)
		v := w.act(ctx)
		if v.load { // time has passed
			w.look(ctx, false)
			v = w.judge.decide(time.Now())
			if v.load {
				v.at = time.Now()
			}
		}
		if at := w.complain(ctx); v.at.IsZero() || !at.IsZero() && at.Before(v.at) {
			v.at = at
		}
		if !v.at.IsZero() {
			due.Reset(max(time.Until(v.at), 0))
		}
	}
}

// hear takes note of all that inotify has to say. It reports whether any of it
// was about the file.
func (w *Watcher) hear() bool {
	if w.notify == nil {
		return false
	}
	news := false
	for _, e := range w.notify.take() {
		path := w.notify.path(e)
		if e.name != "" {
			path = filepath.Join(path, e.name)
		}
		if w.names[path] {
			w.judge.heard(e.kind)
			news = true
		}
	}
	return news
}

// maxLooks bounds how often one look reads the file; the next event or poll
// comes anyway.
const maxLooks = 10

// look reads the file. It watches first and reads then, until nothing new is
// to be watched and nobody has written meanwhile: only then are the events
// known that go with what was read.
func (w *Watcher) look(ctx context.Context, deep bool) {
	for range maxLooks {
		added := false
		if w.notify != nil {
			var paths []string
			var err error
			paths, w.names = w.source.places()
			if added, err = w.notify.watch(paths); err != nil {
				w.deaf(ctx, err)
			}
		}
		was := w.last.stamp.lead
		w.last = w.source.look(w.last, deep)
		if was != "" && w.last.stamp.lead != "" && was != w.last.stamp.lead {
			w.judge.heard(whole) // a link was swapped
		}
		if news := w.hear(); !news && !added && !w.last.torn {
			break
		}
	}
	w.judge.read(w.last, time.Now())
	if w.last.alone && !w.orphan {
		w.log.WarnContext(ctx, "the mounted file was replaced by another one outside, which a mount of a single file does not show: mount its directory instead, or write in place", "file", w.o.Source)
	}
	w.orphan = w.last.alone
}

func (w *Watcher) deaf(ctx context.Context, err error) {
	if !w.unheard {
		w.unheard = true
		w.log.WarnContext(ctx, "changes are seen by the poll only", "err", err, "interval", w.o.Poll.String())
	}
}

// act loads what is there if it is to be loaded.
func (w *Watcher) act(ctx context.Context) verdict {
	v := w.judge.decide(time.Now())
	if !v.load {
		return v
	}
	began := time.Now()
	err := w.copy.load(ctx, w.last.text, w.o)
	if ctx.Err() != nil {
		return verdict{}
	}
	w.judge.done(err, time.Now())
	sum := short(w.last)
	if err != nil {
		if w.judge.deadly {
			err = fmt.Errorf("%w; this one is tried again in %v", err, w.judge.delay)
		}
		w.state.Refused++
		w.fault(ctx, fmt.Errorf("%s (%s): %w", w.source.file(), sum, err))
		return v
	}
	w.state.Reloads++
	w.state.Loaded, w.state.Since, w.state.Fault = sum, time.Now(), ""
	w.publish()
	w.log.InfoContext(ctx, "HAProxy runs with the file", "file", w.source.file(), "rev", sum,
		"took", time.Since(began).Round(time.Millisecond).String())
	return v
}

// idle starts HAProxy with the built-in file.
func (w *Watcher) idle(ctx context.Context) {
	if err := w.o.Reload(ctx); err != nil && ctx.Err() == nil {
		w.fault(ctx, fmt.Errorf("HAProxy does not start with the built-in file: %w", err))
	} else if w.state.Fault == "" {
		w.log.InfoContext(ctx, "HAProxy runs with the built-in file until there is another", "file", w.source.file())
	}
}

// complain says why there is nothing to use, when that lasts.
func (w *Watcher) complain(ctx context.Context) (at time.Time) {
	text, at := w.judge.settledFault(time.Now())
	if text == errMissing.Error() && w.state.Loaded == "" {
		return at // idle has said what it is waiting for
	}
	if text != "" {
		w.fault(ctx, fmt.Errorf("%s %s", w.source.file(), text))
	} else if w.judge.fault == "" && w.judge.now == w.judge.loaded && w.state.Fault != "" {
		w.state.Fault = "" // it is as it was
		w.publish()
	}
	return at
}

// fault logs a fault, once as long as it stays the same.
func (w *Watcher) fault(ctx context.Context, err error) {
	if text := err.Error(); text != w.state.Fault {
		w.state.Fault = text
		w.log.ErrorContext(ctx, "the file is not used, HAProxy goes on with what it has", "err", err)
	}
	w.publish()
}

func short(r reading) string { return hex.EncodeToString(r.sum[:6]) }
