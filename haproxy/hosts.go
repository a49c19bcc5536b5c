package haproxy

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"smartstack/haproxy/socket"
)

const (
	lookupsAtOnce = 64
	longestLookup = 10 * time.Second
	failureTTL    = 10 * time.Second // then a name is tried again
	successTTL    = time.Minute
	nameTTL       = time.Hour // after that, one that nobody asks for is forgotten
	manyNames     = 4096

	// What waits for the answers that are on the way; those that come later are
	// used the next time.
	serverPatience = 50 * time.Millisecond // other servers' changes stand behind it
	filePatience   = time.Second
	askAgain       = 2 * time.Second
)

// hostCache resolves host names: for servers that are added at run time, where
// HAProxy does not do it, and to find those that would hold HAProxy up. It
// belongs to one goroutine; look-ups go on behind its back.
type hostCache struct {
	lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	patience time.Duration
	stale    bool // an old answer does, and none that was waited for before, while a new one is on the way
	found    map[string]hostEntry
	// For names in the file, see startWords.
	slowUntil time.Time
	pinned    map[string]string

	asked   map[string]bool // are being looked up
	answers chan hostAnswer
	free    chan struct{} // one place for each look-up at the same time
	ctx     context.Context
	cancel  context.CancelFunc
	all     *sync.WaitGroup
}

type hostEntry struct {
	addrs []string
	until time.Time
	took  time.Duration // of the last look-up
}

type hostAnswer struct {
	name  string
	addrs []netip.Addr
	took  time.Duration
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

// resolve returns the addresses of names; those that cannot be found, or not
// yet, are not in it. Answers are kept for a while.
func (h *hostCache) resolve(ctx context.Context, names []string, now time.Time) map[string][]string {
	if len(names) == 0 || h.lookup == nil {
		return nil
	}
	h.collect(now)
	h.forget(now)
	wanted, urgent := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		e, ok := h.found[name]
		if h.asked[name] || !ok || now.After(e.until) {
			wanted[name] = true
			if !h.stale || !ok && !h.asked[name] {
				urgent[name] = true
			}
		}
	}
	h.ask(wanted)
	h.await(ctx, urgent, now)
	out := make(map[string][]string, len(names))
	for _, name := range names {
		if e := h.found[name]; len(e.addrs) > 0 {
			out[name] = e.addrs
		}
	}
	return out
}

// forget drops names that nobody has asked for in a long time, when there are
// many.
func (h *hostCache) forget(now time.Time) {
	if len(h.found) <= manyNames {
		return
	}
	for name, e := range h.found {
		if !h.asked[name] && now.Sub(e.until) > nameTTL {
			delete(h.found, name)
			delete(h.pinned, name)
		}
	}
}

// ask begins to look up names, in any order: no slow one is always the first.
func (h *hostCache) ask(names map[string]bool) {
	if h.asked == nil {
		h.found, h.asked = map[string]hostEntry{}, map[string]bool{}
		h.answers, h.free, h.all = make(chan hostAnswer), make(chan struct{}, lookupsAtOnce), &sync.WaitGroup{}
		h.ctx, h.cancel = context.WithCancel(context.Background())
	}
	var list []string
	for name := range names {
		if !h.asked[name] {
			h.asked[name], list = true, append(list, name)
		}
	}
	if len(list) == 0 {
		return
	}
	ctx, free, answers, all := h.ctx, h.free, h.answers, h.all
	all.Go(func() {
		for _, name := range list {
			select {
			case free <- struct{}{}:
			case <-ctx.Done():
				return
			}
			all.Go(func() {
				h.find(ctx, name, answers)
				<-free
			})
		}
	})
}

// find looks one name up. It runs on a goroutine of its own.
func (h *hostCache) find(ctx context.Context, name string, answers chan<- hostAnswer) {
	limited, cancel := context.WithTimeout(ctx, longestLookup)
	defer cancel()
	began := time.Now()
	addrs, _ := h.lookup(limited, name) // without an answer the server waits, and says so
	select {
	case answers <- hostAnswer{name: name, addrs: addrs, took: time.Since(began)}:
	case <-ctx.Done():
	}
}

// await takes answers until all the wanted ones are there, or patience ends. It
// crosses them off.
func (h *hostCache) await(ctx context.Context, wanted map[string]bool, now time.Time) {
	enough := time.NewTimer(h.patience)
	defer enough.Stop()
	for len(wanted) > 0 {
		select {
		case a := <-h.answers:
			h.take(a, now)
			delete(wanted, a.name)
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// collect takes the answers that have come meanwhile.
func (h *hostCache) collect(now time.Time) {
	for h.answers != nil {
		select {
		case a := <-h.answers:
			h.take(a, now)
		default:
			return
		}
	}
}

func (h *hostCache) take(a hostAnswer, now time.Time) {
	delete(h.asked, a.name)
	e := hostEntry{until: now.Add(failureTTL), took: a.took}
	for _, addr := range a.addrs {
		e.addrs = append(e.addrs, addr.Unmap().WithZone("").String())
	}
	if len(e.addrs) > 0 {
		e.until = now.Add(successTTL)
	} else if old := h.found[a.name]; len(old.addrs) > 0 {
		e.addrs = old.addrs // a resolver that fails does not move servers
	}
	h.found[a.name] = e
}

// close ends the look-ups that are under way.
func (h *hostCache) close() {
	if h == nil || h.cancel == nil {
		return
	}
	h.cancel()
	h.all.Wait()
	h.asked, h.cancel = nil, nil
}
