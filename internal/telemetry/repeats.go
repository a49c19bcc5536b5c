package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// The bounds of repeats.
const (
	quiet       = 10 * time.Second
	maxRepeated = 512
)

// repeats remembers the warnings and errors of the last ten seconds, so that
// one that only says the same again is counted. Whatever else is said of a
// service ends that: when it went down, up and down, the last word must be
// "down".
type repeats struct {
	sink *sink

	mu    sync.Mutex
	seen  map[string]*repeated
	timer *time.Timer // runs while something was left out; nil = it does not
}

// repeated is one line that was written.
type repeated struct {
	service string
	seq     uint64    // of its event
	since   time.Time // when it was written last
	missed  int       // how often it was left out since
	last    slog.Record
	by      *handler
}

// leftOut is a line that owes people its count.
type leftOut struct {
	record slog.Record
	by     *handler
	times  int
}

func (l *leftOut) counted() slog.Record {
	r := l.record.Clone()
	r.AddAttrs(slog.Int("repeated", l.times))
	return r
}

// take makes an event of a line, or counts it as a repetition: then there is no
// line. ended are lines to be written before it.
func (r *repeats) take(h *handler, record slog.Record, e Event) (line *slog.Record, ended []leftOut) {
	key, now := identity(record, h.with), record.Time
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.seen[key]; old != nil && now.Sub(old.since) < quiet && r.sink.journal.repeat(old.seq, e.Level, e.Message, now) {
		old.missed++
		old.last, old.by = record.Clone(), h
		if r.timer == nil {
			r.timer = time.AfterFunc(quiet-now.Sub(old.since), r.tell)
		}
		return nil, nil
	}
	if e.Service != "" { // what concerns no service may well be about several things that fail in turn
		ended = r.endLocked(e.Service, key)
	}
	if old := r.seen[key]; old != nil {
		ended = r.drop(key, old, ended)
	}
	r.makeRoom(now)
	r.seen[key] = &repeated{service: e.Service, since: now, seq: r.sink.journal.add(e)}
	return &record, ended
}

// end forgets what was said of a service, but for the line with that key.
func (r *repeats) end(service, but string) []leftOut {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.endLocked(service, but)
}

func (r *repeats) endLocked(service, but string) (ended []leftOut) {
	for key, old := range r.seen {
		if old.service == service && key != but {
			ended = r.drop(key, old, ended)
		}
	}
	return ended
}

// drop forgets a line, and adds it to the list if it owes its count.
func (r *repeats) drop(key string, old *repeated, list []leftOut) []leftOut {
	delete(r.seen, key)
	if old.missed == 0 {
		return list
	}
	r.sink.journal.renew(old.seq)
	return append(list, leftOut{record: old.last, by: old.by, times: old.missed})
}

// tell writes the counts of those who were left out for ten seconds.
func (r *repeats) tell() {
	r.sink.write(r.due(time.Now()))
}

func (r *repeats) due(now time.Time) (list []leftOut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := time.Duration(0)
	for _, old := range r.seen {
		if old.missed == 0 {
			continue
		}
		left := quiet - now.Sub(old.since)
		if left <= 0 {
			r.sink.journal.renew(old.seq)
			list = append(list, leftOut{record: old.last, by: old.by, times: old.missed})
			old.since, old.missed = now, 0
			continue
		}
		if next == 0 || left < next {
			next = left
		}
	}
	r.timer = nil
	if next > 0 {
		r.timer = time.AfterFunc(next, r.tell)
	}
	return list
}

func (r *repeats) makeRoom(now time.Time) {
	if len(r.seen) < maxRepeated {
		return
	}
	for k, v := range r.seen {
		if now.Sub(v.since) >= quiet && v.missed == 0 {
			delete(r.seen, k)
		}
	}
	if len(r.seen) >= maxRepeated {
		clear(r.seen) // a storm of different lines: none of them is a repetition worth knowing
	}
}

func (r *repeats) forget() (ended []leftOut) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.seen {
		ended = r.drop(key, old, ended)
	}
	return ended
}

// identity is what makes two lines the same: the message and the things that
// it is about, but not counts, delays and the like.
func identity(r slog.Record, with []slog.Attr) string {
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		switch a.Key {
		case "retry", "failing_for", "failed_for", "after", "repeated", "waited":
		default:
			fmt.Fprintf(&b, "\x00%s=%s", a.Key, withoutLocalPort(a.Value.String()))
		}
		return true
	}
	for _, a := range with {
		add(a)
	}
	r.Attrs(add)
	return b.String()
}

// withoutLocalPort takes the port in front of -> away, which is another one for
// each connection: read tcp 127.0.0.1:41234->127.0.0.1:80: connection reset.
func withoutLocalPort(s string) string {
	before, after, found := strings.Cut(s, "->")
	if !found {
		return s
	}
	return strings.TrimRight(before, "0123456789") + "->" + withoutLocalPort(after)
}
