package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"smartstack/internal/service"
)

// causes is a log that keeps what was complained about last, by service and
// source, so that a source that does not answer, and does not know why, has a
// reason. It may be used from any goroutine.
type causes struct {
	attrs []slog.Attr
	kept  *keptCauses
}

type keptCauses struct {
	mu     sync.Mutex
	latest map[string]string // by "service NAME SOURCE", "watcher METHOD", or the line itself
	caused map[string]bool   // the latest holds an error or a reason
}

func newCauses() *causes {
	return &causes{kept: &keptCauses{latest: map[string]string{}, caused: map[string]bool{}}}
}

// Enabled is part of slog.Handler.
func (c *causes) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// WithAttrs is part of slog.Handler.
func (c *causes) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &causes{attrs: slices.Concat(c.attrs, attrs), kept: c.kept}
}

// WithGroup is part of slog.Handler; nobody here uses groups.
func (c *causes) WithGroup(string) slog.Handler { return c }

// Handle is part of slog.Handler.
func (c *causes) Handle(_ context.Context, r slog.Record) error {
	line, owner, caused := r.Message, "", false
	var sources []string // one in the other
	take := func(a slog.Attr) bool {
		switch a.Key {
		case "service":
			owner = a.Value.String()
		case "watcher":
			sources = append(sources, a.Value.String())
		case "err", "reason":
			line += ": " + a.Value.String()
			caused = true
		}
		return true
	}
	for _, a := range c.attrs {
		take(a)
	}
	r.Attrs(take)
	key := line
	switch source := strings.Join(sources, "."); {
	case owner != "":
		key = keyOf(owner, source)
	case source != "":
		key = "watcher " + source
	}
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	if caused || !c.kept.caused[key] { // that somebody goes on without it is no cause
		c.kept.latest[key], c.kept.caused[key] = line, caused
	}
	return nil
}

func keyOf(owner, source string) string { return strings.TrimSpace("service " + owner + " " + source) }

// why tells why a source has not answered.
func (c *causes) why(q *question, err error, timeout time.Duration) string {
	if err != nil {
		return err.Error()
	}
	reason := cmp.Or(ownReason(q.source.Watcher), c.of(keyOf(q.service, q.source.Name)))
	if reason == "" {
		return fmt.Sprintf("no answer within %v", timeout)
	}
	return fmt.Sprintf("no answer within %v: %s", timeout, reason)
}

// ownReason is what a source itself says about its condition; empty when it
// does not know better.
func ownReason(w service.Watcher) string {
	feeling, ok := w.(service.Feeling)
	if !ok {
		return ""
	}
	var all []string
	for _, f := range feeling.Condition().Faults {
		all = append(all, strings.TrimPrefix(f.Part+": "+f.Err.Error(), ": "))
	}
	return strings.Join(all, "; ")
}

// of returns what was complained about last under a key; empty = nothing.
func (c *causes) of(key string) string {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	return c.kept.latest[key]
}

// ofService returns what was complained about last of a service and of each of
// its sources.
func (c *causes) ofService(name string) string {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	var all []string
	for _, key := range slices.Sorted(maps.Keys(c.kept.latest)) {
		if own := keyOf(name, ""); key == own || strings.HasPrefix(key, own+" ") {
			all = append(all, c.kept.latest[key])
		}
	}
	return strings.Join(all, "; ")
}

// others returns what was complained about without saying whose it is.
func (c *causes) others() []string {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	var lines []string
	for key, line := range c.kept.latest {
		if !strings.HasPrefix(key, "service ") && !strings.HasPrefix(key, "watcher ") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
