package main

import (
	"strings"

	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// passed tells where a backend comes from, and what of the policies it passed;
// what keeps it out is told by others.
func (t *teller) passed(s *synapse.Standing) {
	p, l := &t.look.Policy, t.look
	where := address(&s.Backend)
	t.step("from", true, "%s comes from %s", where, s.From)
	if p.PortOverride > 0 && strings.HasPrefix(s.From, "discovery") {
		t.step("port", true, "its port is %d, whatever the source says (backend_port_override)", p.PortOverride)
	}
	if p.MinServers > 0 {
		says := "is believed"
		if l.Origin == service.Previous {
			says = "is not believed: those of before stay"
		}
		t.step("min_servers", true, "at least %d are wanted, the source lists %d and %s", p.MinServers, l.Update.Backends.Len(), says)
	}
	switch {
	case p.RemovalGuard && l.Doubt:
		t.step("guard", true, "most backends vanished at once: those of before stay until the source was read again (removal_guard)")
	case p.RemovalGuard:
		t.step("guard", true, "not many have vanished at once (removal_guard)")
	}
	for _, f := range p.LabelFilters {
		if service.SetOf(s.Backend).Filter([]service.LabelFilter{f}).Len() == 0 {
			return // the reason is told as what keeps it out
		}
		condition := "="
		if f.Not {
			condition = "other than"
		}
		t.step("filter", true, "it passes label_filters: label %q %s %q", f.Label, condition, f.Value)
	}
	if p.LeaderElection && s.Serves {
		t.step("leader", true, "it leads (leader_election)")
	}
}
