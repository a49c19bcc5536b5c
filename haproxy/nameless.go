package haproxy

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"
)

// HAProxy looks the host names of its servers up when it reads the file, one
// after the other, and waits for each: with a few thousand names that nobody
// knows, or one name server that is slow or down, neither a check nor a reload
// comes to its end. Where init-addr does not allow it to go on without an
// address, it even refuses the file. So servers get words that let HAProxy start
// without asking: all whose names have no address now, which it learns over its
// socket, and, where the name server is slow, the others with the address that we
// have found.

const (
	// noAddress are the words for a name without an address.
	noAddress = " init-addr last,none"
	// nameBudget is what the names that HAProxy looks up itself may take in all.
	nameBudget = time.Second
	// slowFor is how long a name server counts as slow.
	slowFor = 10 * time.Minute
)

// startWords are words for the lines of servers, by host name. It is immutable.
type startWords map[string]string

// hostNames returns the names among the hosts of enabled servers.
func hostNames(m Model) []string {
	seen := map[string]bool{}
	var names []string
	for _, sec := range m.Sections {
		for _, host := range sec.names {
			if !seen[host] {
				seen[host] = true
				names = append(names, host)
			}
		}
	}
	return names
}

// namesIn returns the host names of servers; nearly always there are none.
func namesIn(servers []Server) []string {
	var names []string
	for i := range servers {
		if kind, _ := kindOfHost(servers[i].Host); kind == isName {
			names = append(names, servers[i].Host)
		}
	}
	return names
}

// wordsFor returns the words for the host names in m. later says that some names
// are still being looked up.
func (h *hostCache) wordsFor(ctx context.Context, m Model, now time.Time) (words startWords, later bool) {
	names := hostNames(m)
	if h == nil || len(names) == 0 {
		return nil, false
	}
	found := h.resolve(ctx, names, now)
	var took time.Duration
	for name := range found {
		took += h.found[name].took
	}
	if took > nameBudget {
		h.distrust(now)
	}
	words = startWords{}
	for _, name := range names {
		switch addrs := found[name]; {
		case len(addrs) == 0:
			words[name] = noAddress
			_, answered := h.found[name]
			later = later || !answered
		case now.Before(h.slowUntil):
			words[name] = " init-addr last," + h.pin(name, addrs)
		}
	}
	return words, later
}

// distrust takes note that the name server is slow.
func (h *hostCache) distrust(now time.Time) { h.slowUntil = now.Add(slowFor) }

// doubts is distrust, and reports whether that says anything new about m.
func (h *hostCache) doubts(m Model, now time.Time) bool {
	if h == nil || now.Before(h.slowUntil) || len(hostNames(m)) == 0 {
		return false
	}
	h.distrust(now)
	return true
}

// pin returns the address for a name: as long as it has it, the one that was
// written before, because another one is another file.
func (h *hostCache) pin(name string, addrs []string) string {
	if h.pinned == nil {
		h.pinned = map[string]string{}
	}
	if !slices.Contains(addrs, h.pinned[name]) {
		h.pinned[name] = addrs[0]
	}
	return h.pinned[name]
}

// muter applies startWords. It belongs to one goroutine.
type muter struct{ remaker }

// apply returns want with the words on the servers that need them.
func (k *muter) apply(want Model, words startWords) Model {
	if len(words) == 0 {
		k.made = nil
		return want
	}
	return k.remaker.apply(want, func(sec *Section) *Section {
		if !slices.ContainsFunc(sec.Servers, words.has) {
			return nil
		}
		return sectionMuted(sec, words)
	})
}

func (w startWords) has(s Server) bool {
	return w[s.Host] != "" && !hasWord(s.Options, "init-addr")
}

// sectionMuted returns sec with the words on the servers that need them.
func sectionMuted(sec *Section, words startWords) *Section {
	out := *sec
	out.Servers, out.Text = slices.Clone(sec.Servers), nil
	lines := map[string]string{}
	for i := range out.Servers {
		s := &out.Servers[i]
		if words.has(*s) {
			old := s.Line()
			s.Options = strings.TrimRight(s.Options, " ") + words[s.Host]
			lines["\t"+old+"\n"] = "\t" + s.Line() + "\n"
		}
	}
	for line := range bytes.Lines(sec.Text) {
		if now, changed := lines[string(line)]; changed {
			out.Text = append(out.Text, now...)
		} else {
			out.Text = append(out.Text, line...)
		}
	}
	return &out
}
