package synapse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

func TestDecide(t *testing.T) {
	two := backends(2)
	labelled := func(list []service.Backend, labels ...service.Labels) []service.Backend {
		for i := range list {
			list[i].Labels = labels[i]
		}
		return list
	}
	noID := func(b service.Backend) service.Backend { b.ID = service.Int{}; return b }
	sameID := func(b, as service.Backend) service.Backend { b.ID = as.ID; return b }
	backup := func(b service.Backend, port int) service.Backend { b.Port, b.Backup = port, true; return b }
	def := service.Backend{Name: "d", Host: "10.9.9.9", Port: 9}
	served := func(list ...service.Backend) verdict {
		s := service.SetOf(list...)
		return verdict{origin: service.Discovered, listed: s, serving: s}
	}
	cases := []struct {
		name     string
		policy   Policy
		says     []service.Backend
		previous verdict
		want     []string
		origin   service.Origin
		note     string
	}{
		{"as discovered", Policy{}, two, verdict{}, []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Discovered, ""},
		{"duplicates", Policy{}, append(backends(2), two...), verdict{}, []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Discovered, ""},
		{"override", Policy{PortOverride: 8080}, two, verdict{}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}, service.Discovered, ""},
		{"backup ports", Policy{PortOverride: 1, BackupPort: 2}, two, verdict{}, []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1", "10.0.0.2:2"}, service.Discovered, ""},
		{"keep defaults: appended, ports overridden", Policy{KeepDefaults: true, DefaultServers: []service.Backend{def}, PortOverride: 5}, two, verdict{}, []string{"10.0.0.1:5", "10.0.0.2:5", "10.9.9.9:5"}, service.Discovered, ""},
		{"nothing found, defaults raw", Policy{DefaultServers: []service.Backend{def}, PortOverride: 5}, nil, served(two...), []string{"10.9.9.9:9"}, service.Defaults, ""},
		{"nothing found, previous stays", Policy{}, nil, served(two...), []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Previous, ""},
		{"nothing found, drop", Policy{DropPrevious: true}, nil, served(two...), []string{}, service.Discovered, ""},
		{"nothing ever", Policy{}, nil, verdict{}, []string{}, service.Discovered, ""},
		{"fewer than the minimum: previous stays", Policy{MinServers: 2}, two[:1], served(two...), []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Previous, "fewer than min_servers (2)"},
		{"the minimum is enough", Policy{MinServers: 2}, two, served(backends(3)...), []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Discovered, ""},
		{"fewer than the minimum, but no fewer than before", Policy{MinServers: 3}, two, served(two...), []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Discovered, ""},
		{"fewer than the minimum, at the start", Policy{MinServers: 3}, two, verdict{}, []string{"10.0.0.1:80", "10.0.0.2:80"}, service.Discovered, ""},
		{"nothing found, which is allowed", Policy{MinServers: 2, DropPrevious: true}, nil, served(two...), []string{}, service.Discovered, ""},
		{"label equals", Policy{LabelFilters: []service.LabelFilter{{Label: "az", Value: "a"}}}, labelled(backends(3), `{"az":"a"}`, `{"az":"b"}`, ""), verdict{}, []string{"10.0.0.1:80"}, service.Discovered, ""},
		{"label not equals passes a missing one", Policy{LabelFilters: []service.LabelFilter{{Label: "az", Value: "a", Not: true}}}, labelled(backends(3), `{"az":"a"}`, `{"az":"b"}`, ""), verdict{}, []string{"10.0.0.2:80", "10.0.0.3:80"}, service.Discovered, ""},
		{"label number", Policy{LabelFilters: []service.LabelFilter{{Label: "n", Value: "3"}}}, labelled(backends(1), `{"n":3}`), verdict{}, []string{"10.0.0.1:80"}, service.Discovered, ""},
		{"labels let none pass", Policy{LabelFilters: []service.LabelFilter{{Label: "az", Value: "x"}}}, two, verdict{}, []string{}, service.Discovered, "let none of 2"},
		{"leader", Policy{LeaderElection: true}, []service.Backend{two[1], two[0]}, verdict{}, []string{"10.0.0.1:80"}, service.Discovered, ""},
		{"leader and its backup port", Policy{LeaderElection: true, BackupPort: 81}, []service.Backend{two[1], two[0]}, verdict{}, []string{"10.0.0.1:80", "10.0.0.1:81"}, service.Discovered, ""},
		{"leader of two with one id", Policy{LeaderElection: true}, []service.Backend{two[0], sameID(two[1], two[0])}, verdict{}, []string{"10.0.0.1:80"}, service.Discovered, ""},
		{"no id: the leader of before and its backup port stay", Policy{LeaderElection: true, BackupPort: 81}, []service.Backend{noID(two[0]), two[1]}, served(two[1], backup(two[1], 81)), []string{"10.0.0.2:80", "10.0.0.2:81"}, service.Discovered, "stays"},
		{"no id: two of before are no leader", Policy{LeaderElection: true}, []service.Backend{noID(two[0]), two[1]}, served(two...), []string{}, service.Discovered, "no leader"},
		{"no id: nobody", Policy{LeaderElection: true}, []service.Backend{noID(two[0]), two[1]}, verdict{}, []string{}, service.Discovered, "no leader"},
		{"no id: the leader of before stays", Policy{LeaderElection: true}, []service.Backend{noID(two[0]), two[1]}, served(two[1]), []string{"10.0.0.2:80"}, service.Discovered, "stays"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := c.policy.decide(update(c.says...), c.previous)
			if d := cmp.Diff(c.want, addresses(&service.Service{Backends: v.serving})); d != "" {
				t.Error(d)
			}
			if v.origin != c.origin {
				t.Errorf("origin %s, want %s", v.origin, c.origin)
			}
			if note := strings.Join(v.notes, " "); !strings.Contains(note, c.note) || c.note == "" && note != "" {
				t.Errorf("notes %q, want %q", note, c.note)
			}
		})
	}
}

// The owner's decision is believed, unless the configuration insists.
func TestEmptiedByItsOwner(t *testing.T) {
	before := Policy{}.decide(update(backends(2)...), verdict{})
	for name, c := range map[string]struct {
		policy Policy
		want   int
	}{
		"left out":                    {Policy{}, 0},
		"use_previous_backends: true": {Policy{KeepPrevious: true}, 2},
		"use_previous_backends: no":   {Policy{DropPrevious: true}, 0},
		"default servers":             {Policy{DefaultServers: backends(1)}, 1},
		"a minimum":                   {Policy{MinServers: 2}, 0},
	} {
		if v := c.policy.decide(service.Update{Emptied: true}, before); v.serving.Len() != c.want {
			t.Errorf("%s: %d backends serve, want %d", name, v.serving.Len(), c.want)
		}
	}
}

func TestSuspicious(t *testing.T) {
	cases := []struct {
		old, next int
		want      bool
	}{{6, 3, false}, {6, 2, true}, {5, 0, false}, {8, 8, false}, {8, 0, true}}
	for _, c := range cases {
		old := Policy{}.decide(update(backends(c.old)...), verdict{})
		next := Policy{DropPrevious: true}.decide(update(backends(c.next)...), old)
		if got := (Policy{RemovalGuard: true}).suspicious(old, next); got != c.want {
			t.Errorf("%d to %d: %v, want %v", c.old, c.next, got, c.want)
		}
		if (Policy{}).suspicious(old, next) {
			t.Errorf("%d to %d: the guard is off", c.old, c.next)
		}
	}
}
