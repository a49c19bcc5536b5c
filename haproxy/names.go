package haproxy

import (
	"fmt"
	"strings"
)

// sharedName is the frontend that services share, as in the original.
const sharedName = "shared-frontend"

// names returns the names that the service's proxies have in HAProxy.
func (s *ServiceConfig) names() []string {
	own, pool := legalName(s.Name), legalName(s.Options.backendName(s.Name))
	if own == pool {
		return []string{own}
	}
	return []string{own, pool}
}

// fixedNames returns the names that the top-level options use up.
func fixedNames(o *Options) []string {
	var names []string
	if o.SharedFrontend != nil {
		names = append(names, sharedName)
	}
	for _, extra := range o.ExtraSections {
		if words := strings.Fields(extra.Key); len(words) > 1 && (words[0] == "listen" || words[0] == "frontend" || words[0] == "backend") {
			names = append(names, words[1])
		}
	}
	return names
}

// Clashes names the services that want the name of another proxy. HAProxy
// would refuse a file with both, so the Composer leaves the later one out; a
// caller who validates a configuration should show them as faults.
func Clashes(o *Options, services []ServiceConfig) []Warning {
	var out []Warning
	owner := map[string]string{}
	for _, n := range fixedNames(o) {
		owner[n] = "the top-level haproxy section"
	}
	for _, s := range services {
		if s.Options.Disabled {
			continue
		}
		for _, n := range s.names() {
			if who, taken := owner[n]; taken {
				out = append(out, Warning{Service: s.Name, Section: "backend_name", Reason: fmt.Sprintf(
					"the name %q is used by %s, and HAProxy takes it once: the service is left out", n, who)})
				continue
			}
			owner[n] = fmt.Sprintf("service %q", s.Name)
		}
	}
	return out
}
