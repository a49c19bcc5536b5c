package synapse

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"smartstack/internal/service"
)

// Policy decides what a service's backends are, given what its watcher said.
// It is immutable.
type Policy struct {
	DefaultServers []service.Backend     // used while discovery yields none; as given, no override
	KeepDefaults   bool                  // they are also appended to what discovery yields
	DropPrevious   bool                  // discovery yields none and there are no defaults: drop the old set
	KeepPrevious   bool                  // keep it then even where the source says that its owner emptied it
	PortOverride   int                   // replaces every port; 0 = none
	BackupPort     int                   // lists each backend once more on this port, as backup; 0 = none
	LabelFilters   []service.LabelFilter // all must pass
	LeaderElection bool                  // only the backend with the smallest id
	MinServers     int                   // fewer than these, and than before, are not believed; 0 = no minimum
	RemovalGuard   bool                  // a sudden loss of most backends needs a second full read
}

// verdict is what a policy makes of an update.
type verdict struct {
	origin  service.Origin
	listed  service.Set // before filters and election: what the emptiness rules keep
	serving service.Set // what outputs see
	notes   []string    // what a person may wonder about
}

// decide turns what a watcher said into the backends to serve. previous is the
// verdict in force; its zero value stands for none.
func (p Policy) decide(u service.Update, previous verdict) verdict {
	v := verdict{origin: service.Discovered, listed: p.list(u.Backends)}
	if v.listed.Len() == 0 {
		switch {
		case len(p.DefaultServers) > 0:
			v.origin, v.listed = service.Defaults, service.SetOf(p.DefaultServers...)
		case u.Emptied && !p.KeepPrevious:
			v.notes = append(v.notes, "the source says that its owner took all backends away")
		case !p.DropPrevious && previous.listed.Len() > 0:
			v.origin, v.listed = service.Previous, previous.listed
		}
	} else if n := v.listed.Len(); n < p.MinServers && n < previous.listed.Len() {
		v.origin, v.listed = service.Previous, previous.listed
		v.notes = append(v.notes, fmt.Sprintf("%d backends are fewer than min_servers (%d): the %d of before stay", n, p.MinServers, v.listed.Len()))
	}
	v.serving = v.listed.Filter(p.LabelFilters)
	if v.serving.Len() == 0 && v.listed.Len() > 0 {
		v.notes = append(v.notes, fmt.Sprintf("label_filters let none of %d backends pass", v.listed.Len()))
	}
	if p.LeaderElection {
		var note string
		if v.serving, note = elect(v.serving, previous.serving); note != "" {
			v.notes = append(v.notes, note)
		}
	}
	return v
}

// list applies keep_default_servers, the port override and the backup port, in
// the order of the original.
func (p Policy) list(discovered service.Set) service.Set {
	if !p.KeepDefaults && p.PortOverride == 0 && p.BackupPort == 0 {
		return discovered // shared, not copied
	}
	return service.NewSet(func(yield func(service.Backend) bool) {
		for b := range p.withDefaults(discovered) {
			if p.PortOverride != 0 {
				b.Port = p.PortOverride
			}
			if !yield(b) {
				return
			}
			if p.BackupPort != 0 {
				b.Port, b.Backup = p.BackupPort, true
				if !yield(b) {
					return
				}
			}
		}
	})
}

func (p Policy) withDefaults(discovered service.Set) iter.Seq[service.Backend] {
	if !p.KeepDefaults {
		return discovered.All()
	}
	return func(yield func(service.Backend) bool) {
		for b := range discovered.All() {
			if !yield(b) {
				return
			}
		}
		for _, b := range p.DefaultServers {
			if !yield(b) {
				return
			}
		}
	}
}

// elect returns the leader alone, with its backup port: the smallest id. A set in which anybody
// lacks an id cannot be ordered; then the leader of before stays, if it is
// still registered, and otherwise nobody serves, because a write that reaches
// a follower is worse than one that fails.
func elect(s, before service.Set) (leader service.Set, note string) {
	if s.Len() == 0 {
		return s, ""
	}
	all := slices.Collect(s.All())
	for _, b := range all {
		if b.ID.Known {
			continue
		}
		note = fmt.Sprintf("leader_election: %s has no id, so there is no order", b.Address())
		if oneLeader(before) && before.Gone(s) == 0 {
			return before, note + "; the leader of before stays"
		}
		return service.Set{}, note + " and no leader"
	}
	first := slices.MinFunc(all, func(a, b service.Backend) int { return cmp.Compare(a.ID.Value, b.ID.Value) })
	return service.NewSet(func(yield func(service.Backend) bool) {
		for _, b := range all {
			if (b == first || standsIn(b, first)) && !yield(b) {
				return
			}
		}
	}), ""
}

// standsIn reports whether b is the leader once more, on its backup port.
func standsIn(b, leader service.Backend) bool {
	return b.Backup && b.ID == leader.ID && b.Host == leader.Host && b.Name == leader.Name
}

// oneLeader reports whether s is what elect returned.
func oneLeader(s service.Set) bool {
	all := slices.Collect(s.All())
	return len(all) > 0 && !slices.ContainsFunc(all[1:], func(b service.Backend) bool { return !standsIn(b, all[0]) })
}

// guardFrom is the smallest number of backends that the removal guard watches
// over: in a smaller set a deploy often replaces most of them at once.
const guardFrom = 6

// suspicious reports whether going from old to next loses so much at once that
// a failing registry is as likely a cause as a decision.
func (p Policy) suspicious(old, next verdict) bool {
	n := old.listed.Len()
	return p.RemovalGuard && n >= guardFrom && 2*old.listed.Gone(next.listed) > n
}
