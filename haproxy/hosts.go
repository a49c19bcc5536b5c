package haproxy

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"smartstack/haproxy/socket"
)

const (
	lookupTime    = time.Second      // for all names of one call
	lookupsAtOnce = 16               //
	failureTTL    = 10 * time.Second // then a name is tried again
	successTTL    = time.Minute
)

// hostCache resolves host names, because HAProxy does not do it for servers
// that are added at run time.
type hostCache struct {
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	found  map[string]hostEntry
}

type hostEntry struct {
	addrs []string
	until time.Time
}

// unresolved returns the host names whose address matters: those of servers
// that do not run, or whose name HAProxy does not resolve itself.
func unresolved(run Running, sections []*Section) []string {
	seen := map[string]bool{}
	var names []string
	for _, s := range sections {
		var states map[string]*socket.ServerState
		for i := range s.Servers {
			w := &s.Servers[i]
			if kind, _ := kindOfHost(w.Host); kind != isName || w.Disabled || seen[w.Host] {
				continue
			}
			if states == nil {
				states = map[string]*socket.ServerState{}
				for j := range run.Backends[s.BackendName] {
					states[run.Backends[s.BackendName][j].Name] = &run.Backends[s.BackendName][j]
				}
			}
			if is := states[w.Name]; is != nil {
				if where, _ := compareAddress(w, is, nil); where == right {
					continue
				}
			}
			seen[w.Host] = true
			names = append(names, w.Host)
		}
	}
	return names
}

// resolve returns the addresses of names; those that cannot be found are not in
// it. Answers are kept for a while.
func (h *hostCache) resolve(ctx context.Context, names []string, now time.Time) map[string][]string {
	if len(names) == 0 {
		return nil
	}
	var ask []string
	for _, name := range names {
		if e, ok := h.found[name]; !ok || now.After(e.until) {
			ask = append(ask, name)
		}
	}
	if len(ask) > 0 && h.lookup != nil {
		h.ask(ctx, ask, now)
	}
	out := make(map[string][]string, len(names))
	for _, name := range names {
		if e := h.found[name]; len(e.addrs) > 0 {
			out[name] = e.addrs
		}
	}
	return out
}

func (h *hostCache) ask(ctx context.Context, names []string, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answers := make([][]netip.Addr, len(names))
	free := make(chan struct{}, lookupsAtOnce)
	var wg sync.WaitGroup
	for i, name := range names {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			answers[i], _ = h.lookup(ctx, name) // without an answer the server waits, and says so
		})
	}
	wg.Wait()
	if h.found == nil {
		h.found = map[string]hostEntry{}
	}
	for i, name := range names {
		e := hostEntry{until: now.Add(failureTTL)}
		for _, a := range answers[i] {
			e.addrs = append(e.addrs, a.Unmap().WithZone("").String())
		}
		if len(e.addrs) > 0 {
			e.until = now.Add(successTTL)
		} else if old := h.found[name]; len(old.addrs) > 0 {
			e.addrs = old.addrs // a resolver that fails does not move servers
		}
		h.found[name] = e
	}
}
