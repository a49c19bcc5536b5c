package haproxy

import "strings"

// layout is what a service's options say about its part of the file; the
// servers are not in it. It is immutable and reused until the options change.
type layout struct {
	frontendName  string // empty = no frontend
	backendName   string
	frontend      []string // with bind and default_backend
	backend       []string
	shared        []string
	head          []byte // the rendered text up to the servers
	serverOptions string
	bare          bool // no server_options at all: not even the space before them
	order         string
	cookies       bool
	hashedCookies bool
	weights       bool
	disabled      bool
	taken         taken
	warnings      []Warning
}

// taken is what hand-written server lines of a backend use up.
type taken struct {
	names map[string]bool
	ids   map[int]bool
}

// newLayout turns a service's options into a layout. foreign says that they
// come from a registry; then o.foreignFault has found nothing.
func newLayout(top *Options, service string, o *ServiceOptions, foreign bool) *layout {
	sift := &sifter{service: service, foreign: foreign}
	l := &layout{
		serverOptions: oneLine(o.ServerOptions.Value),
		bare:          o.ServerOptions.Null || foreign && !o.ServerOptions.Set,
		order:         o.BackendOrder,
		hashedCookies: o.CookieValueMethod == "hash",
		weights:       top.UseNerveWeights,
		disabled:      o.Disabled,
	}
	if o.UseNerveWeights.Set && !o.UseNerveWeights.Null {
		l.weights = o.UseNerveWeights.Value
	}
	l.backendName = l.name(sift, "backend", o.backendName(service))
	l.backend = append(sift.own("backend", backend, o.Backend), sift.listen(backend, o.Listen, true)...)
	l.cookies = true
	for _, line := range l.backend {
		l.cookies = l.cookies && line != "mode tcp"
	}
	if l.cookies && top.Defaults == nil {
		l.backend = append(l.backend, retryGuard)
	}
	l.taken = takenBy(l.backend)
	if o.Port.Set {
		l.frontendName = l.name(sift, "frontend", service)
		l.frontend = append(sift.own("frontend", frontend, o.Frontend), sift.listen(frontend, o.Listen, false)...)
		l.frontend = append(l.frontend, bindLine(top, o), "default_backend "+l.backendName)
		l.head = appendSection([]byte("\n"), "frontend "+l.frontendName, l.frontend)
	}
	l.head = appendSection(append(l.head, '\n'), "backend "+l.backendName, l.backend)
	switch {
	case len(o.SharedFrontend) > 0 && top.SharedFrontend == nil:
		sift.warn("shared_frontend", "is left out, because the top-level haproxy section has no shared_frontend")
	default:
		l.shared = sift.own("shared_frontend", frontend, o.SharedFrontend)
	}
	l.warnings = sift.warnings
	return l
}

// name maps a service's name to one that HAProxy takes.
func (l *layout) name(sift *sifter, kind, name string) string {
	legal := legalName(name)
	if legal != name {
		sift.warn(kind, "is named %q, because HAProxy does not take the name %.200q", legal, name)
	}
	return legal
}

func (o *ServiceOptions) backendName(service string) string {
	if o.BackendName != "" {
		return o.BackendName
	}
	return service
}

// bindLine is the service's bind line: the address alone when the port is
// null, as for the path of a socket.
func bindLine(top *Options, o *ServiceOptions) string {
	line := "bind " + listenAddress(top, o)
	if o.BindOptions != "" {
		line += " " + oneLine(o.BindOptions)
	}
	return line
}

func listenAddress(top *Options, o *ServiceOptions) string {
	address := oneLine(o.BindAddress)
	if address == "" && !o.AnyAddress {
		address = oneLine(top.BindAddress)
		if address == "" && !top.AnyAddress {
			address = "localhost"
		}
	}
	if !o.Port.Null && o.Port.Value != "" {
		address += ":" + oneLine(o.Port.Value)
	}
	return address
}

// legalName replaces what HAProxy refuses in the name of a section or a server.
func legalName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.:-", r) {
			return r
		}
		return '_'
	}, name)
}
