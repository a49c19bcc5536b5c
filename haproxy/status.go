package haproxy

import (
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Status is what the output is doing, for people and for /status. It is
// immutable.
type Status struct {
	Wanted  uint64 // revision of the newest snapshot
	Written uint64 // revision that the file says, but for Held
	Applied uint64 // revision that HAProxy runs, but for Held

	LastReload   ReloadStatus
	Reloads      int      // that worked
	FailedReload int      // that did not
	Waiting      []string // reasons of a reload that is yet to be done
	Held         []Held
	Faults       []Fault // what does not work now, oldest first

	whole, in []*Section // what should run, before and after what HAProxy refuses is left out
}

// ReloadStatus is one reload.
type ReloadStatus struct {
	At      time.Time
	Took    time.Duration
	Reasons []string
	Err     string // empty = it worked
}

// Held is one service in quarantine: HAProxy refuses what it should have.
type Held struct {
	Service string
	Server  string // it alone is left out; empty = the whole service is in quarantine
	Reason  string // what HAProxy says
	LeftOut bool   // there is nothing that was accepted before, so the service is not in the file
}

// Fault is something that does not work and is tried again.
type Fault struct {
	What  string // file, check, reload, state file, socket
	Err   string
	Since time.Time
	Count int // how often it was tried
}

// report makes the status of now.
func (m *memory) report() *Status {
	waiting, _ := m.reloadReasons()
	if len(waiting) == 0 && m.downFrom.IsZero() && len(m.openRefusals()) == 0 && (!m.stale || m.synced()) && m.want.Sections != nil {
		m.applied = m.snapshot.Rev
	}
	return &Status{
		Wanted: m.snapshot.Rev, Written: m.fileRev, Applied: m.applied,
		LastReload: m.lastReload, Reloads: m.reloads, FailedReload: m.failedReloads, Waiting: waiting,
		Held: m.held, Faults: m.faults.list(),
		whole: m.whole.Sections, in: m.want.Sections,
	}
}

// synced reports whether HAProxy has everything that is wanted although the
// file does not.
func (m *memory) synced() bool {
	if m.sync == nil || m.loaded == nil {
		return false
	}
	return m.loaded.says(m.want.Sections)
}

// faults logs what does not work once, when it begins, when it is something
// else, and when it is over.
type faults struct {
	log  *slog.Logger
	open map[string]*Fault
}

func (f *faults) begin(what, message string, err error, now time.Time, more ...any) {
	if f.open == nil {
		f.open = map[string]*Fault{}
	}
	if old := f.open[what]; old != nil {
		old.Count++
		if old.Err == err.Error() {
			return
		}
		old.Err = err.Error()
	} else {
		f.open[what] = &Fault{What: what, Err: err.Error(), Since: now, Count: 1}
	}
	f.log.Error(message, append([]any{"err", err}, more...)...)
}

func (f *faults) end(what string, now time.Time) {
	old := f.open[what]
	if old == nil {
		return
	}
	delete(f.open, what)
	f.log.Info(what+" works again", "failed", old.Count, "after", now.Sub(old.Since).Round(time.Millisecond))
}

// drop forgets a fault that nothing depends on any more.
func (f *faults) drop(what string) { delete(f.open, what) }

// list returns copies, the oldest first.
func (f *faults) list() []Fault {
	var out []Fault
	for _, what := range slices.Sorted(maps.Keys(f.open)) {
		out = append(out, *f.open[what])
	}
	slices.SortStableFunc(out, func(a, b Fault) int { return a.Since.Compare(b.Since) })
	return out
}

// noteHeld logs changes of the quarantine.
func noteHeld(log *slog.Logger, old, now []Held) {
	for _, h := range now {
		if slices.Contains(old, h) {
			continue
		}
		message := "HAProxy refuses the service's new configuration: it keeps the one before"
		switch {
		case h.Server != "":
			message = "HAProxy refuses a server: the service goes on without it"
		case h.LeftOut:
			message = "HAProxy refuses the service's configuration: it is left out of the file"
		}
		log.Error(message, "service", h.Service, "server", h.Server, "reason", h.Reason)
	}
	for _, h := range old {
		if !slices.ContainsFunc(now, func(n Held) bool { return n.Service == h.Service && n.Server == h.Server }) {
			log.Info("what HAProxy refused is accepted again, or gone", "service", h.Service, "server", h.Server)
		}
	}
}
