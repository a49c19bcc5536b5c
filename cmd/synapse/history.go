package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"smartstack/internal/service"
)

// history remembers for each service which backends came and went last, after
// its events have long been displaced by those of others. It is an output, so
// that it sees what the others see, and may be asked from any goroutine.
type history struct {
	mu       sync.Mutex
	services []*service.Service   // of the last snapshot
	passages map[string][]passage // by service, oldest first; none for those that never changed
}

// passage is a backend that came, or went.
type passage struct {
	address string
	at      time.Time
	in      bool
}

// maxPassages bounds what is kept of one service.
const maxPassages = 24

func newHistory() *history { return &history{passages: map[string][]passage{}} }

// Name is part of service.Output.
func (h *history) Name() string { return "history" }

// Apply is part of service.Output.
func (h *history) Apply(_ context.Context, s service.Snapshot) (time.Duration, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, same := service.Rematch(h.services, h.services, s.Services)
	h.services = s.Services
	for i, svc := range s.Services {
		if was[i] != nil && was[i] != svc {
			h.note(svc.Name, was[i].Backends, svc.Backends, svc.Changed)
		}
	}
	if !same {
		h.forgetOthers()
	}
	return 0, nil
}

// forgetOthers forgets the services that are no longer configured.
func (h *history) forgetOthers() {
	named := make(map[string]bool, len(h.services))
	for _, svc := range h.services {
		named[svc.Name] = true
	}
	maps.DeleteFunc(h.passages, func(name string, _ []passage) bool { return !named[name] })
}

func (h *history) note(name string, before, after service.Set, at time.Time) {
	list := h.passages[name]
	list = append(list, passages(before, after, at, false)...)
	list = append(list, passages(after, before, at, true)...)
	if more := len(list) - maxPassages; more > 0 {
		list = append([]passage(nil), list[more:]...)
	}
	if len(list) > 0 {
		h.passages[name] = list
	}
}

// passages are the addresses in s that are not in o.
func passages(s, o service.Set, at time.Time, in bool) (list []passage) {
	there := make(map[string]bool, o.Len())
	for b := range o.Pointers() {
		there[address(b)] = true
	}
	for b := range s.Pointers() {
		if a := address(b); !there[a] {
			list = append(list, passage{address: a, at: at, in: in})
		}
	}
	return list
}

// of returns what is remembered of an address in a service, oldest first.
func (h *history) of(name, where string) (list []passage) {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.passages[name] {
		if p.address == where {
			list = append(list, p)
		}
	}
	return list
}

// tale tells of passages in words.
func tale(list []passage) string {
	var words []string
	for _, p := range list {
		what := "went"
		if p.in {
			what = "came"
		}
		words = append(words, fmt.Sprintf("%s at %s", what, p.at.Format(time.DateTime)))
	}
	return strings.Join(words, ", ")
}
