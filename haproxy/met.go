package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/haproxy/socket"
)

// Met is what a process ran when it was met, before we changed anything. It is
// the evidence of what it has loaded: HAProxy does not tell which file that was.
type Met struct {
	Running
	stats      map[ServerRef]socket.Stat
	told       map[ServerRef]string // lines of an earlier synapse that died, or was just ended
	frontends  map[string]bool
	algorithms map[string]string // of balance, by backend
	otherIDs   bool              // servers do not have the ids of the file, and nobody has told them so
}

// meet asks a process that was not met before for what show servers state does
// not tell.
func (p *process) meet(ctx context.Context, run Running, want Model, loaded func(string) []byte, res *Result) error {
	replies, err := send(ctx, p.client, run.Info, []string{"show stat"})
	if err != nil {
		return err
	}
	stats, err := socket.ParseStat(replies[0])
	if err != nil {
		return fmt.Errorf("%s: %w", p.client.Path(), err)
	}
	m := &Met{Running: run, stats: make(map[ServerRef]socket.Stat, len(stats))}
	for _, s := range stats {
		m.stats[ServerRef{Backend: s.Backend, Server: s.Name}] = s
	}
	m.frontends, m.algorithms = socket.ParseProxies(replies[0])
	res.Met = append(res.Met, m)
	now := time.Now()
	p.known, _ = p.journal.recall(run.Info, now)
	p.known.agree(run)
	p.doubt(m, want, loaded)
	m.told = maps.Clone(p.known.lines)
	p.known.journal = p.journal
	p.journal.begin(run.Info, &p.known, now)
	return nil
}

// doubt takes note of wanted servers that are not to be trusted to run with the
// options that they should have: those that the file does not know, unless the
// journal says how they were added, and those that evidently run with others
// than it says.
func (p *process) doubt(m *Met, want Model, loaded func(string) []byte) {
	inherited := inheritedLines(want.Preamble)
	for _, s := range want.Sections {
		text := loaded(s.Service)
		if s.Carried || text == nil || len(m.Backends[s.BackendName]) == 0 {
			continue
		}
		running := make(map[string]*socket.ServerState, len(m.Backends[s.BackendName]))
		for i := range m.Backends[s.BackendName] {
			running[m.Backends[s.BackendName][i].Name] = &m.Backends[s.BackendName][i]
		}
		file, view := newStanza(text), viewBackend(inherited, s.Backend)
		for i := range s.Servers {
			w := &s.Servers[i]
			ref := ServerRef{Backend: s.BackendName, Server: w.Name}
			is := running[w.Name]
			if is == nil {
				continue
			}
			told, known := p.known.lines[ref]
			if !known && otherID(file.servers[w.Name], is) {
				m.otherIDs = true
			}
			if !known && file.servers[w.Name] == "" || known && oddServer(view, told, is, m.stats[ref]) != "" {
				p.known.note(ref, unsureLine)
			}
		}
	}
}

// odd says in what the process cannot have loaded file, which is what want was
// rendered to; empty = it may have. Only what is never changed over the socket
// speaks against it. started says that nobody has changed servers since it
// started, so that those must be the file's, too.
func (m *Met) odd(file content, want Model, started bool) string {
	inherited := inheritedLines(want.Preamble)
	said := maps.Collect(file.stanzas.all())
	for _, service := range slices.Sorted(maps.Keys(said)) {
		for _, st := range SplitStanzas(said[service]) {
			kind, name, _ := strings.Cut(st.Title, " ")
			_, exists := m.algorithms[name]
			switch {
			case kind == "frontend" && !m.frontends[name], kind == "backend" && !exists:
				return "it has no " + st.Title
			case kind != "backend":
				continue
			}
			if odd := m.oddBackend(name, viewBackend(inherited, st.lines()), newStanza(st.Text), started); odd != "" {
				return odd
			}
		}
	}
	return ""
}

// beside returns the backends that the process runs and file does not have. They
// may come from another file that HAProxy reads next to ours.
func (m *Met) beside(file content) map[string]bool {
	ours := map[string]bool{}
	note := func(text []byte) {
		for _, st := range SplitStanzas(text) {
			if _, name, ok := strings.Cut(st.Title, " "); ok {
				ours[name] = true
			}
		}
	}
	note(file.preamble)
	for _, text := range file.stanzas.all() {
		note(text)
	}
	extra := map[string]bool{}
	for name := range m.algorithms {
		if !ours[name] {
			extra[name] = true
		}
	}
	return extra
}

func (m *Met) oddBackend(name string, view *backendView, file stanza, started bool) string {
	algorithm, _, _ := strings.Cut(view.balance, "(")
	if is := m.algorithms[name]; is != algorithm && plainAlgorithms[algorithm] && plainAlgorithms[is] {
		return fmt.Sprintf("backend %s has balance %s, in the file %s", name, is, algorithm)
	}
	running := map[string]*socket.ServerState{}
	for i := range m.Backends[name] {
		s := &m.Backends[name][i]
		if running[s.Name] = s; started && file.servers[s.Name] == "" && view.ours(s.Name) {
			return fmt.Sprintf("server %s/%s is not in the file", name, s.Name)
		}
	}
	for _, server := range file.names {
		is, line := running[server], file.servers[server]
		told := m.told[ServerRef{Backend: name, Server: server}]
		if told != "" {
			line = told
		}
		switch {
		case is == nil && started:
			return fmt.Sprintf("server %s/%s of the file is missing", name, server)
		case is == nil, line == unsureLine:
			continue
		}
		if (started || told == "") && otherID(file.servers[server], is) {
			return fmt.Sprintf("server %s/%s has id %d, in the file %s", name, server, is.ID, idWords(file.servers[server])[0])
		}
		if odd := oddServer(view, line, is, m.stats[ServerRef{Backend: name, Server: server}]); odd != "" {
			return fmt.Sprintf("server %s/%s %s", name, server, odd)
		}
	}
	return ""
}

// otherID reports whether a server runs with another id than its line has, and
// not with one that HAProxy has chosen for somebody who added it by hand.
func otherID(line string, is *socket.ServerState) bool {
	id := idWords(line)
	return len(id) == 1 && !is.AutoID && id[0] != strconv.Itoa(is.ID)
}

// plainAlgorithms are those that every version of HAProxy shows by the word
// that stands in the file.
var plainAlgorithms = wordSet("roundrobin static-rr leastconn first source")

// oddServer compares the options that HAProxy shows.
func oddServer(view *backendView, line string, is *socket.ServerState, stat socket.Stat) string {
	own, err := lineSettings(line)
	if err != nil {
		return ""
	}
	settings := resolve(append(slices.Clone(view.defaults), own...))
	has := func(word string) bool { _, ok := find(settings, word); return ok }
	maxconn, _ := find(settings, "maxconn")
	if maxconn.arg == "0" {
		maxconn.arg = ""
	}
	switch {
	case has("backup") != stat.Backup:
		return "is not what the file says: backup"
	case has("check") != is.Checked && !has("track") && !has("agent-check"):
		return "is not what the file says: check"
	case maxconn.arg != stat.MaxConn && !has("minconn"):
		return fmt.Sprintf("has maxconn %q, in the file %q", stat.MaxConn, maxconn.arg)
	}
	return ""
}
