package haproxy

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"smartstack/haproxy/socket"
)

// Verb says what a Step does to its server.
type Verb string

// The verbs.
const (
	VerbAdd     Verb = "add"     // a new server, in rotation
	VerbReplace Verb = "replace" // delete and add, for options that cannot be changed
	VerbAddress Verb = "address"
	VerbWeight  Verb = "weight"
	VerbReady   Verb = "ready" // back into rotation
	VerbDrain   Verb = "drain" // out of rotation; it is deleted later
	VerbAdopt   Verb = "adopt" // out of rotation already: only deleted later
)

// Step is one change of one server. Its commands are safe to send without
// waiting for the replies: when one is refused, those behind it do no harm.
type Step struct {
	Service string
	Ref     ServerRef
	Verb    Verb
	// Trial commands are sent, and must be accepted, before Commands are.
	Trial    []string
	Commands []string
	Line     string // add, replace: the server line that is then in force
	Keep     bool   // drain: ends in maintenance, not deleted
	// old is the line before; empty = not known.
	old string
	// subject is the command that is remembered when it is refused.
	subject string
	// late steps take servers away, and are sent when the replies to all others
	// are known; guarded ones only if a server was added or came back.
	late, guarded bool
}

// Kind groups reasons for reloads.
type Kind string

// The kinds of reasons.
const (
	KindMissing Kind = "missing backend"
	KindStatic  Kind = "static balancing"
	KindTooOld  Kind = "HAProxy too old"
	KindOptions Kind = "server options"
	KindRefused Kind = "refused"
)

// Reason is why something cannot be done at run time.
type Reason struct {
	Service string
	Server  string // empty = the whole backend
	Kind    Kind
	Text    string // a sentence for people, with the server's name in it
}

// Remark is something about a server that nobody needs to act on at once, and
// that no reload would mend.
type Remark struct {
	Service string
	Ref     ServerRef
	Text    string
}

// Plan is what makes HAProxy run what is wanted.
type Plan struct {
	Steps   []Step
	Reload  []Reason // what steps cannot do
	Left    []Remark // servers that an operator took out of rotation: not ours to bring back
	Waiting []Remark // servers that wait for an address
	Kept    []Kept   // servers that go on as they are, though they are wanted otherwise
}

// Kept is a server that goes on with the line by which HAProxy knows it: with
// another id than is wanted, which nothing can change while it runs, or with
// other options, as long as somebody has it out of rotation.
type Kept struct {
	Service string
	Ref     ServerRef
	Line    string
	ID      int // that it runs with; 0 = the one that is wanted, or it may be a stranger's
}

// PlanOptions is what a Plan is made from, next to what runs and what is
// wanted.
type PlanOptions struct {
	Known *Known // nil = nothing
	// Loaded returns the frontend and backend of a service as HAProxy has
	// loaded them, or been told since; nil = not known.
	Loaded    func(service string) []byte
	Inherited []string            // lines of the defaults section
	Hosts     map[string][]string // addresses of host names
	// Maintenance takes servers that are gone straight into maintenance, where
	// not even clients with a cookie reach them, instead of draining them.
	Maintenance bool
}

// NewPlan compares what runs with what the sections want. It is pure. Backends
// that are not in run.Backends count as missing from HAProxy. Only servers of
// the sections' own backends are ever touched.
func NewPlan(run Running, want []*Section, o PlanOptions) Plan {
	if o.Known == nil {
		o.Known = &Known{}
	}
	p := &planner{run: run, o: o}
	for _, s := range want {
		if !s.Carried {
			p.plan(s)
		}
	}
	return p.out
}

type planner struct {
	run Running
	o   PlanOptions
	out Plan

	// of the section that is being planned
	sec    *Section
	view   *backendView
	is     map[string]*socket.ServerState
	ids    map[int]string    // in use, and by which server
	loaded map[string]string // server lines that HAProxy has loaded; nil = not known
	stays  int               // servers that serve now and stay
	gains  int               // servers that are added or come back
	blocks int               // servers that only a reload can add
}

func (p *planner) plan(s *Section) {
	states, exists := p.run.Backends[s.BackendName]
	if !exists {
		p.reason(s.Service, "", KindMissing, "backend "+s.BackendName+" is not in the running HAProxy")
		return
	}
	p.begin(s, states)
	wanted := make(map[string]*Server, len(s.Servers))
	for i := range s.Servers {
		w := &s.Servers[i]
		wanted[w.Name] = w
		if is := p.is[w.Name]; is != nil && !w.Disabled && serves(is) {
			p.stays++
		}
	}
	var going []*socket.ServerState
	for i := range s.Servers {
		w, is := &s.Servers[i], p.is[s.Servers[i].Name]
		switch {
		case is == nil && !w.Disabled:
			p.add(w)
		case is != nil && !w.Disabled:
			p.change(w, is)
		case is != nil && !is.Admin.Forced():
			going = append(going, is)
		}
	}
	for i := range states {
		if is := &states[i]; wanted[is.Name] == nil && p.view.ours(is.Name) {
			going = append(going, is)
		}
	}
	p.remove(going, wanted)
}

func (p *planner) begin(s *Section, states []socket.ServerState) {
	p.sec, p.view = s, viewBackend(p.o.Inherited, s.Backend)
	p.is = make(map[string]*socket.ServerState, len(states))
	p.ids = make(map[int]string, max(len(states), len(s.Servers)))
	p.out.Steps = slices.Grow(p.out.Steps, max(0, len(s.Servers)-len(states)))
	p.stays, p.gains, p.blocks, p.loaded = 0, 0, 0, nil
	for i := range states {
		p.is[states[i].Name] = &states[i]
		p.ids[states[i].ID] = states[i].Name
	}
	if p.o.Loaded != nil {
		if text := p.o.Loaded(s.Service); text != nil {
			p.loaded = newStanza(text).servers
		}
	}
}

// serves reports whether clients are sent to a running server.
func serves(is *socket.ServerState) bool {
	return is.Up && !is.Admin.Maint() && !is.Admin.Drain() && is.Weight > 0
}

func (p *planner) ref(server string) ServerRef {
	return ServerRef{Backend: p.sec.BackendName, Server: server}
}

func (p *planner) step(server string, verb Verb, s Step) {
	s.Service, s.Ref, s.Verb = p.sec.Service, p.ref(server), verb
	p.out.Steps = append(p.out.Steps, s)
}

func (p *planner) reason(service, server string, kind Kind, text string) {
	p.out.Reload = append(p.out.Reload, Reason{Service: service, Server: server, Kind: kind, Text: text})
}

// add plans a server that HAProxy does not have.
func (p *planner) add(w *Server) {
	why := func(kind Kind, format string, args ...any) {
		p.blocks++
		p.reason(p.sec.Service, w.Name, kind, VerbAdd.impossible(w.Name, fmt.Sprintf(format, args...)))
	}
	if !plainName(w.Name) {
		why(KindOptions, "its name holds a character that HAProxy does not allow")
		return
	}
	if !p.run.Info.AtLeast(2, 4) {
		why(KindTooOld, "HAProxy %s cannot do that", p.run.Info.Version)
		return
	}
	if !p.view.dynamic {
		why(KindStatic, "balance %s does not allow it", p.view.balance)
		return
	}
	cmds, line, kind, problem := p.addCommands(w, w.Name)
	switch {
	case problem == "" && kind == "":
	case kind == "":
		p.blocks++
		p.waiting(w.Name, "server "+w.Name+" is not added: "+problem)
		return
	default:
		why(kind, "%s", problem)
		return
	}
	if r, again := p.o.Known.refused[cmds[0]]; again {
		why(KindRefused, "%s", r.reply)
		return
	}
	p.gains++
	p.step(w.Name, VerbAdd, Step{Commands: cmds, subject: cmds[0], Line: line})
}

// plainName reports whether HAProxy takes name for a server, in which case it
// can stand in a command as it is.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("_-:.", c) >= 0) {
			return false
		}
	}
	return name != ""
}

// addCommands returns what adds w under a name and brings it into rotation, and
// the line by which HAProxy then knows it. A problem without a kind is one that a
// reload would not solve.
func (p *planner) addCommands(w *Server, name string) (cmds []string, line string, kind Kind, problem string) {
	address := w.Address()
	hostKind, _ := kindOfHost(w.Host)
	if hostKind == isName {
		found := p.o.Hosts[w.Host]
		if len(found) > 0 {
			address = net.JoinHostPort(found[0], strconv.Itoa(w.Port))
		} else {
			address = ""
		}
	}
	written := w.Line()
	settings, err := lineSettings(written)
	if err != nil {
		return nil, "", KindOptions, "its options hold " + err.Error()
	}
	settings = resolve(slices.Concat(p.view.defaults, settings))
	if _, own := find(settings, "resolvers"); own && hostKind == isName {
		return nil, "", KindOptions, "HAProxy itself is to resolve its name"
	}
	if address == "" {
		return nil, "", "", "its name " + w.Host + " has no address"
	}
	id := p.idFor(w, settings)
	words := append(make([]string, 0, 5+2*len(settings)), "add server", p.sec.BackendName+"/"+name, address)
	if id > 0 {
		words = append(words, "id", strconv.Itoa(id))
	}
	for _, s := range settings {
		switch s.word {
		case "id", "disabled", "enabled", "init-addr", "resolvers", "resolve-net", "resolve-opts", "resolve-prefer":
			continue
		case "cookie":
			if !p.view.cookie {
				continue // without the backend's directive it means nothing
			}
			if !p.run.Info.AtLeast(3, 0) {
				return nil, "", KindTooOld, "HAProxy " + p.run.Info.Version + " takes no cookie there"
			}
		}
		words = append(words, s.word)
		if s.hasArg {
			words = append(words, s.arg)
		}
	}
	add, ok := joinCommand(words)
	if !ok {
		return nil, "", KindOptions, "its options hold a word that the socket does not take"
	}
	if w.Disabled || id != w.ID || hasWord(w.Options, "id") {
		added := *w
		added.ID, added.Options = id, cutID(w.Options)
		written = enabledLine(added)
	}
	return append([]string{add}, activate(words[1], settings)...), written, "", ""
}

// idFor returns the id that the file has, or a free one while another server
// still has that; 0 = HAProxy may choose.
func (p *planner) idFor(w *Server, settings []setting) int {
	id := w.ID
	if s, ok := find(settings, "id"); ok {
		if n, err := strconv.Atoi(s.arg); err == nil {
			id = n
		}
	}
	if id <= 0 {
		return 0
	}
	if holder, used := p.ids[id]; used && holder != w.Name {
		id = p.freeID()
	}
	p.ids[id] = w.Name
	return id
}

// freeID returns an id above all that are in use or wanted, but for trials.
func (p *planner) freeID() int {
	highest := 0
	for id := range p.ids {
		if id < trialIDs {
			highest = max(highest, id)
		}
	}
	for i := range p.sec.Servers {
		highest = max(highest, p.sec.Servers[i].ID)
	}
	return highest + 1
}

// activate brings an added server into rotation. Checks are enabled first, so
// that it starts as a server of the file does: up, and down at the first
// failure.
func activate(ref string, settings []setting) []string {
	var cmds []string
	if _, ok := find(settings, "check"); ok {
		cmds = append(cmds, "enable health "+ref)
	}
	if _, ok := find(settings, "agent-check"); ok {
		cmds = append(cmds, "enable agent "+ref)
	}
	return append(cmds, "enable server "+ref)
}

// joinCommand joins a command; the first part is taken as it stands.
func joinCommand(parts []string) (string, bool) {
	size := len(parts)
	for _, part := range parts {
		size += len(part)
	}
	var text strings.Builder
	text.Grow(size)
	text.WriteString(parts[0])
	for _, part := range parts[1:] {
		word, ok := cliWord(part)
		if !ok {
			return "", false
		}
		text.WriteByte(' ')
		text.WriteString(word)
	}
	return text.String(), true
}
