package haproxy

import (
	"bytes"
	"slices"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// generatorName is the key of our options among those found in a registry.
const generatorName = "haproxy"

// ServiceConfig is one service of the configuration.
type ServiceConfig struct {
	Name    string
	Options ServiceOptions
	// Raw is the section Options was decoded from; it is only copied into the
	// state file.
	Raw config.JSON
}

// Composer turns snapshots into models. It remembers what it derived from each
// service, and the servers and ids that each had. It does no I/O and belongs
// to one goroutine.
type Composer struct {
	options  Options
	seeded   mersenne
	entries  map[string]*entry
	expiring map[string]*entry // those with a remembered server
	names    names
	preamble []byte
	stanzas  map[string]Stanza // of the previous file, by title, while some service may need them

	services []*service.Service // of the last snapshot
	sections []*Section         // what was made from each of them; nil = nothing

	sharedTop []string // the sifted top-level lines of the shared frontend
	warnings  []Warning
}

// entry is what the Composer keeps of one service.
type entry struct {
	spec       *ServiceConfig // not changed
	disabled   bool           // by its options, or for a name that another service has
	configured *layout
	fromData   *layout // by the registry's options; nil while it has none, or bad ones
	data       string  // the registry's options that fromData was made from
	dataFault  string  // why they are not used

	service *service.Service // what section was made from
	section *Section         // nil = nothing is written
	servers []known          // in the order in which they became known
	recall  map[string]int   // ids of the previous file
	freed   freedIDs
	expires time.Time // when the first remembered server is forgotten; zero = never
}

// known is a server that is, or was, among a service's backends.
type known struct {
	server  string
	backend *service.Backend // part of a service's set: not changed
	id      int              // 0 = none
	seen    time.Time        // when it was live last; zero while it is
	live    bool
}

// NewComposer returns a Composer that has seen no snapshot. host is the name
// of this machine; it seeds the order of servers when the options do not. The
// services belong to the Composer from here on.
func NewComposer(o Options, services []ServiceConfig, host string) *Composer {
	seed, err := o.seed()
	if err != nil || seed == nil {
		seed = hostSeed(host)
	}
	if o.MaxServerID == 0 {
		o.MaxServerID = 65535
	}
	c := &Composer{
		options:  o,
		seeded:   newMersenne(seed),
		entries:  make(map[string]*entry, len(services)),
		expiring: map[string]*entry{},
		stanzas:  map[string]Stanza{},
	}
	c.preamble, c.warnings = preamble(&o)
	if o.SharedFrontend != nil {
		sift := &sifter{}
		c.sharedTop = sift.own("shared_frontend", frontend, o.SharedFrontend)
		c.warnings = append(c.warnings, sift.warnings...)
	}
	var clashes []Warning
	c.names, clashes = claimAll(&o, services)
	for _, w := range clashes {
		w.Reason += ": the service is left out"
		c.warnings = append(c.warnings, w)
	}
	for i := range services {
		spec := &services[i]
		clash := slices.ContainsFunc(clashes, func(w Warning) bool { return w.Service == spec.Name })
		c.entries[spec.Name] = &entry{spec: spec, disabled: clash || spec.Options.Disabled}
	}
	return c
}

// Recall tells the Composer, before the first snapshot, what an earlier run
// left behind: the configuration file, for ids and for services about which
// nothing is known yet, and the state. Either may be empty.
func (c *Composer) Recall(previous []byte, state State) {
	for _, s := range SplitStanzas(previous) {
		c.stanzas[s.Title] = s
	}
	for _, e := range c.entries {
		e.recall = c.stanzas["backend "+c.previousBackend(e)].serverIDs()
	}
	for _, svc := range state {
		e := c.entries[svc.Service]
		if e == nil {
			continue
		}
		for _, m := range svc.Servers {
			e.servers = append(e.servers, known{server: m.Server, backend: &m.Backend, id: m.ID, seen: m.Seen})
		}
	}
}

// previousBackend names the service's backend in the previous file: the one
// its frontend named, since the registry may have changed it.
func (c *Composer) previousBackend(e *entry) string {
	if f, ok := c.stanzas["frontend "+legalName(e.spec.Name)]; ok {
		if name := f.defaultBackend(); name != "" {
			return name
		}
	}
	return legalName(e.spec.Options.backendName(e.spec.Name))
}

// Compose returns the model of s. Only services that changed, or whose
// remembered servers are to be forgotten by now, are done again.
func (c *Composer) Compose(s service.Snapshot, now time.Time) Model {
	c.follow(s, now)
	m := Model{
		Preamble: c.preamble,
		Sections: slices.DeleteFunc(slices.Clone(c.sections), func(s *Section) bool { return s == nil }),
		Warnings: c.warnings,
	}
	if c.options.SharedFrontend != nil {
		m.SharedFrontend = c.sharedFrontend(m.Sections)
	}
	if c.stanzas != nil && !c.mayCarry() {
		c.stanzas = nil
	}
	return m
}

// follow brings the sections to s. Where nothing but a few services has changed,
// these are all that it looks at.
func (c *Composer) follow(s service.Snapshot, now time.Time) {
	sections, same := service.Rematch(c.services, c.sections, s.Services)
	next := c.NextExpiry()
	all := !same || !next.IsZero() && !now.Before(next)
	for i, svc := range s.Services {
		if all || svc != c.services[i] {
			sections[i] = c.sectionOf(svc, now)
		}
	}
	c.services, c.sections = s.Services, sections
}

// sectionOf returns the service's section, made again if it must be.
func (c *Composer) sectionOf(svc *service.Service, now time.Time) *Section {
	e := c.entries[svc.Name]
	if e == nil {
		e = &entry{spec: &ServiceConfig{Name: svc.Name}}
		c.entries[svc.Name] = e
	}
	if e.service == svc && (e.expires.IsZero() || now.Before(e.expires)) {
		return e.section
	}
	e.section, e.service = c.section(e, svc, now), svc
	if delete(c.expiring, svc.Name); !e.expires.IsZero() {
		c.expiring[svc.Name] = e
	}
	return e.section
}

// mayCarry reports whether there is a service of which nothing is known yet.
func (c *Composer) mayCarry() bool {
	for _, e := range c.entries {
		if e.service == nil || e.service.Origin == service.Unknown {
			return true
		}
	}
	return false
}

// NextExpiry tells when Compose must be called again although no snapshot
// came, because a remembered server is to be forgotten; zero = not at all.
func (c *Composer) NextExpiry() time.Time {
	var next time.Time
	for _, e := range c.expiring {
		if next.IsZero() || e.expires.Before(next) {
			next = e.expires
		}
	}
	return next
}

// State returns what to write into the state file.
func (c *Composer) State(s service.Snapshot, now time.Time) State {
	state := make(State, 0, len(s.Services))
	for _, svc := range s.Services {
		e := c.entries[svc.Name]
		if e == nil {
			continue
		}
		one := ServiceState{Service: svc.Name, Config: e.spec.Raw, Servers: make([]Remembered, 0, len(e.servers))}
		if e.fromData != nil {
			one.Config = compacted([]byte(e.data))
		}
		for _, k := range e.servers {
			if k.live {
				k.seen = now
			}
			one.Servers = append(one.Servers, Remembered{Server: k.server, Backend: *k.backend, ID: k.id, Seen: k.seen})
		}
		state = append(state, one)
	}
	return state
}

// section makes the service's section; nil when there is none.
func (c *Composer) section(e *entry, svc *service.Service, now time.Time) *Section {
	l := c.layout(e, svc)
	if e.disabled || l.disabled {
		return nil
	}
	sec := &Section{
		Service:      svc.Name,
		Rev:          svc.Rev,
		FrontendName: l.frontendName,
		BackendName:  l.backendName,
		Shared:       l.shared,
		Warnings:     slices.Clip(l.warnings),
	}
	if e.dataFault != "" {
		sec.Warnings = append(sec.Warnings, Warning{Service: svc.Name, Section: "options from the registry", Reason: e.dataFault})
	}
	if svc.Origin == service.Unknown && c.carry(e, sec) {
		return sec
	}
	if svc.Origin == service.Unknown {
		// Neither the registry nor the file tells its servers: those that run stay.
		sec.Carried, sec.Bare = true, true
		sec.Text = slices.Clip(l.head)
		return sec
	}
	sec.Frontend, sec.Backend = l.frontend, l.backend
	e.learn(svc.Backends, l, c.ttl(), now)
	sec.Servers = c.serversOf(e, l, func(reason string) {
		sec.Warnings = append(sec.Warnings, Warning{Service: svc.Name, Section: "server", Reason: reason})
	})
	sec.names = namesIn(sec.Servers)
	text := append(make([]byte, 0, len(l.head)+len(sec.Servers)*128), l.head...)
	for i := range sec.Servers {
		text = append(sec.Servers[i].appendLine(append(text, '\t')), '\n')
	}
	sec.Text = bytes.Clone(text) // it lives long: without what append has in reserve
	return sec
}

// carry takes the service's text over from the previous file, if it is there.
func (c *Composer) carry(e *entry, sec *Section) bool {
	back, ok := c.stanzas["backend "+c.previousBackend(e)]
	if !ok || c.names.claim(e.spec.Name, []string{back.Title}) != "" {
		return false
	}
	front, hasFront := c.stanzas["frontend "+legalName(e.spec.Name)]
	sec.Carried, sec.FrontendName = true, ""
	if hasFront {
		sec.FrontendName = legalName(e.spec.Name)
		sec.Text = append(append(sec.Text, '\n'), front.Text...)
	}
	sec.BackendName = c.previousBackend(e)
	sec.Text = append(append(sec.Text, '\n'), back.Text...)
	return true
}

// ttl returns how long servers are remembered; 0 = not at all.
func (c *Composer) ttl() time.Duration {
	if c.options.StateFilePath == "" {
		return 0
	}
	return c.options.StateFileTTL.Duration()
}

// sharedFrontend renders the shared frontend: the top-level lines, then each
// service's.
func (c *Composer) sharedFrontend(sections []*Section) []byte {
	var out bytes.Buffer
	out.WriteString("\nfrontend " + sharedName + "\n")
	write := func(lines []string) {
		for _, line := range lines {
			out.WriteByte('\t')
			out.WriteString(line)
			out.WriteByte('\n')
		}
	}
	write(c.sharedTop)
	for _, s := range sections {
		write(s.Shared)
	}
	return out.Bytes()
}
