// Package telemetry sets up what a program tells about itself: the log on
// stderr, the journal of the newest lines for those who ask later, and the
// figures for Prometheus and DogStatsD.
//
// A line, an event of the journal and the counter smartstack_events_total
// share one vocabulary, the message, so that what was read in one is found in
// the others.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// The forms of a log line.
const (
	Auto = ""     // Text on a terminal, JSON otherwise
	Text = "text" // key=value, for people
	JSON = "json" // one object per line, for collectors
)

// Log is where a program logs to.
type Log struct {
	Logger  *slog.Logger
	Level   *slog.LevelVar // may be set at any time
	Journal *Journal

	repeats *repeats
}

// Forget makes every line a new one. It is called when a person asks for
// something again, and is owed an answer although it is the same as before.
func (l *Log) Forget() { l.repeats.sink.write(l.repeats.forget()) }

// NewLog returns a log that writes to w in the given form, from level debug or
// else from level info on. A warning or an error that only repeats itself is
// written every ten seconds at most, with how often it came; the journal counts
// it.
func NewLog(w io.Writer, debug bool, format string) (*Log, error) {
	level := new(slog.LevelVar)
	if debug {
		level.Set(slog.LevelDebug)
	}
	o := &slog.HandlerOptions{Level: level}
	if format == Auto {
		format = JSON
		if IsTerminal(w) {
			format = Text
		}
	}
	l := &Log{Level: level, Journal: NewJournal(), repeats: &repeats{seen: map[string]*repeated{}}}
	var lines slog.Handler
	switch format {
	case Text:
		lines = slog.NewTextHandler(w, o)
	case JSON:
		lines = slog.NewJSONHandler(w, o)
	default:
		return nil, fmt.Errorf("log format %q: want %q or %q", format, Text, JSON)
	}
	l.repeats.sink = &sink{lines: lines, journal: l.Journal, level: level, repeats: l.repeats}
	l.Logger = slog.New(&handler{sink: l.repeats.sink})
	return l, nil
}

// NewLogger is NewLog for a program that needs the lines alone.
func NewLogger(w io.Writer, debug bool, format string) (*slog.Logger, error) {
	l, err := NewLog(w, debug, format)
	if err != nil {
		return nil, err
	}
	return l.Logger, nil
}

// Toggle switches between debug and info, and returns what it is now.
func (l *Log) Toggle() slog.Level {
	next := slog.LevelDebug
	if l.Level.Level() == slog.LevelDebug {
		next = slog.LevelInfo
	}
	l.Level.Set(next)
	return next
}

// IsTerminal reports whether w is a terminal, with a person before it.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// handler writes lines and keeps events. Programs have a logger for each of
// thousands of services, most of which never say a word, so it is small: what it
// carries is formatted when there is a line to write.
type handler struct {
	*sink
	with  []slog.Attr // keys with their group in front
	group string      // with a dot at its end
}

// sink is what all handlers of a log share.
type sink struct {
	lines   slog.Handler
	journal *Journal
	level   *slog.LevelVar
	repeats *repeats
}

// Enabled keeps the journal going whatever the level of the lines.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= min(h.level.Level(), slog.LevelInfo)
}

// Handle writes r and keeps it.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if h.group != "" {
		r = grouped(r, h.group)
	}
	if r.Level < slog.LevelInfo {
		return h.line(ctx, r)
	}
	e := eventOf(r, h.with)
	if r.Level < slog.LevelWarn {
		h.write(h.repeats.end(e.Service, ""))
		h.journal.add(e)
		return h.line(ctx, r)
	}
	line, ended := h.repeats.take(h, r, e)
	h.write(ended)
	if line == nil {
		return nil
	}
	return h.line(ctx, *line)
}

// write writes lines that were left out; they are events already.
func (s *sink) write(lines []leftOut) {
	for _, l := range lines {
		_ = l.by.line(context.Background(), l.counted()) // as where a program logs: a log that cannot be written has no other place
	}
}

func (h *handler) line(ctx context.Context, r slog.Record) error {
	if !h.lines.Enabled(ctx, r.Level) {
		return nil
	}
	return h.lines.WithAttrs(h.with).Handle(ctx, r)
}

// grouped returns r with the group in front of its keys.
func grouped(r slog.Record, group string) slog.Record {
	out := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		a.Key = group + a.Key
		out.AddAttrs(a)
		return true
	})
	return out
}

// WithAttrs is part of slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.with = append(make([]slog.Attr, 0, len(h.with)+len(attrs)), h.with...)
	for _, a := range attrs {
		a.Key = h.group + a.Key
		next.with = append(next.with, a)
	}
	return &next
}

// WithGroup is part of slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	next := *h
	next.group = h.group + name + "."
	return &next
}
