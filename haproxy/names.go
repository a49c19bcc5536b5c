package haproxy

import (
	"fmt"
	"slices"
	"strings"
)

// sharedName is the frontend that services share, as in the original.
const sharedName = "shared-frontend"

// names hands out the names of proxies. HAProxy takes each once as frontend
// and once as backend; a listen section is both.
type names struct {
	owner map[string]string // "backend web" to the service, or to "" for the top-level options
}

// claim takes the titles for service: all of them, or none and the name of
// the first that somebody else has.
func (n names) claim(service string, titles []string) (clash string) {
	for _, t := range titles {
		if owner, taken := n.owner[t]; taken && owner != service {
			return t
		}
	}
	for _, t := range titles {
		n.owner[t] = service
	}
	return ""
}

// fixedNames holds the names that the top-level options use up.
func fixedNames(o *Options) names {
	n := names{owner: map[string]string{}}
	if o.SharedFrontend != nil {
		n.claim("", []string{"frontend " + sharedName})
	}
	for _, extra := range o.ExtraSections {
		words := strings.Fields(extra.Key)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "listen":
			n.claim("", []string{"frontend " + words[1], "backend " + words[1]})
		case "frontend", "backend":
			n.claim("", []string{words[0] + " " + words[1]})
		}
	}
	return n
}

// titles returns the titles of the service's sections.
func (o *ServiceOptions) titles(service string) []string {
	t := []string{"backend " + legalName(o.backendName(service))}
	if o.Port.Set {
		t = append(t, "frontend "+legalName(service))
	}
	return t
}

// Clashes names the services that want the name of another proxy. HAProxy
// would refuse a file with both; a caller who validates a configuration should
// show them as faults. The Composer leaves the later one out.
func Clashes(o *Options, services []ServiceConfig) []Warning {
	_, clashes := claimAll(o, services)
	return clashes
}

func claimAll(o *Options, services []ServiceConfig) (names, []Warning) {
	var clashes []Warning
	n := fixedNames(o)
	for _, s := range services {
		if s.Options.Disabled {
			continue
		}
		if title := n.claim(s.Name, s.Options.titles(s.Name)); title != "" {
			clashes = append(clashes, Warning{Service: s.Name, Section: title, Reason: fmt.Sprintf(
				"%s has this name already, and HAProxy takes it once", n.who(title))})
		}
	}
	return n, clashes
}

// SharedPorts names the services that listen where an earlier one does. HAProxy
// takes that, and gives each of them a part of the connections.
func SharedPorts(o *Options, services []ServiceConfig) []Warning {
	var shared []Warning
	first := map[string]string{}
	for i := range services {
		s := &services[i]
		if s.Options.Disabled || !s.Options.Port.Set || s.Options.Port.Null {
			continue
		}
		where := listenAddress(o, &s.Options)
		if other, taken := first[where]; taken {
			shared = append(shared, Warning{Service: s.Name, Section: "port", Reason: fmt.Sprintf(
				"service %q listens on %s too: HAProxy gives each of them a part of the connections", other, where)})
			continue
		}
		first[where] = s.Name
	}
	return shared
}

// LineWarnings says, without a snapshot, what is left out of the lines in the
// configuration, or changed, or will be refused.
func LineWarnings(o *Options, services []ServiceConfig) []Warning {
	c := NewComposer(*o, services, "")
	warnings := slices.Clone(c.warnings)
	for i := range services {
		if s := &services[i]; !s.Options.Disabled {
			warnings = append(warnings, newLayout(&c.options, s.Name, &s.Options, false).warnings...)
		}
	}
	return warnings
}

func (n names) who(title string) string {
	if owner := n.owner[title]; owner != "" {
		return fmt.Sprintf("service %q", owner)
	}
	return "the top-level haproxy section"
}
