package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// causes is a log that keeps what was complained about last, by service and by
// method, so that a source that does not answer has a reason. It may be used
// from any goroutine.
type causes struct {
	attrs []slog.Attr
	kept  *keptCauses
}

type keptCauses struct {
	mu     sync.Mutex
	latest map[string]string // by "service NAME", "watcher METHOD", or the line itself
}

func newCauses() *causes { return &causes{kept: &keptCauses{latest: map[string]string{}}} }

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
	line, key := r.Message, ""
	take := func(a slog.Attr) bool {
		switch a.Key {
		case "service", "watcher":
			if key == "" || a.Key == "service" {
				key = a.Key + " " + a.Value.String()
			}
		case "err", "reason":
			line += ": " + a.Value.String()
		}
		return true
	}
	for _, a := range c.attrs {
		take(a)
	}
	r.Attrs(take)
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	c.kept.latest[cmp.Or(key, line)] = line
	return nil
}

// why tells why a source has not answered.
func (c *causes) why(q *question, err error, timeout time.Duration) string {
	if err != nil {
		return err.Error()
	}
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	reason := cmp.Or(c.kept.latest["service "+q.service], c.kept.latest["watcher "+q.source.Method])
	if reason == "" {
		return fmt.Sprintf("no answer within %v", timeout)
	}
	return fmt.Sprintf("no answer within %v: %s", timeout, reason)
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
