package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// position is where the backends of one service are described.
type position struct {
	*view
	look       *synapse.Look
	placed     haproxy.Placed
	find, left func(*service.Backend) *haproxy.Server // nil = the service has no section
	running    map[string]*socket.Detail              // by server name; what was described is taken out
	has        bool                                   // HAProxy has the backend
}

// backend follows one backend to where it got.
func (at *position) backend(s *synapse.Standing) inside.Backend {
	b := inside.Backend{Address: address(&s.Backend), Name: s.Backend.Name, Backup: s.Backend.Backup}
	if !s.Serves {
		b.State, b.Why = inside.Filtered, s.Reason
		return b
	}
	if at.find == nil || at.placed.Section.Carried {
		b.State, b.Why = at.withoutSection()
		return b
	}
	server := at.find(&s.Backend)
	if server == nil {
		b.State, b.Why = inside.Refused, at.whyLeft(&s.Backend)
		return b
	}
	b.Server = &inside.Server{Name: server.Name, ID: server.ID, Weight: int(server.Weight.Value)}
	if h := at.placed.Held; h != nil && h.Server == "" {
		b.State, b.Why = inside.Refused, heldText(h)
	}
	d := at.running[server.Name]
	if d == nil {
		if b.State == "" {
			b.State, b.Why = at.notRunning()
		}
		return b
	}
	delete(at.running, server.Name)
	fill(b.Server, d)
	b.Backup = d.Backup
	b.State, b.Why = stateInHAProxy(d)
	return b
}

// address is that of a backend as people write it.
func address(b *service.Backend) string {
	if b.Port == 0 { // a socket's path
		return b.Host
	}
	return b.Address()
}

func (at *position) withoutSection() (state, why string) {
	switch {
	case at.output == nil:
		return inside.Unasked, ""
	case at.placed.Held != nil:
		return inside.Refused, heldText(at.placed.Held)
	case at.status.Wanted == 0:
		return inside.Waiting, "nothing has been handed to HAProxy yet" + at.faults()
	case at.placed.Section != nil:
		return inside.Waiting, "the source has not answered: HAProxy keeps what the file said before"
	default:
		return inside.Filtered, "the service is not written into HAProxy's file (haproxy.disabled, or its name is taken)"
	}
}

func (at *position) whyLeft(b *service.Backend) string {
	if at.left != nil && at.left(b) != nil && at.placed.Held != nil {
		return heldText(at.placed.Held)
	}
	for _, w := range at.placed.Section.Warnings {
		if strings.Contains(w.Reason, b.Host) {
			return "it cannot be written into HAProxy's file: " + w.Reason
		}
	}
	return "it is not written into HAProxy's file"
}

// notRunning says why HAProxy does not have a server that it should have.
func (at *position) notRunning() (state, why string) {
	if at.process() == nil {
		for _, a := range at.asked {
			return inside.Waiting, "HAProxy cannot be asked: " + a.Err
		}
		return inside.Unasked, "" // nobody asked HAProxy
	}
	why = "HAProxy does not run it yet"
	if !at.has {
		why = "HAProxy does not have the service's backend yet"
	}
	if len(at.status.Waiting) > 0 {
		why += ", it waits for a reload: " + strings.Join(at.status.Waiting, "; ")
	}
	return inside.Waiting, why + at.faults()
}

func (at *position) faults() string {
	var b strings.Builder
	for _, f := range at.status.Faults {
		fmt.Fprintf(&b, "; %s does not work since %s: %s", f.What, f.Since.Format(time.TimeOnly), f.Err)
	}
	return b.String()
}

func fill(s *inside.Server, d *socket.Detail) {
	s.ID, s.Status, s.Weight, s.Check, s.Sessions, s.Since = d.ID, d.Status, d.Weight, d.Check, d.Sessions, d.Since
}

// stateInHAProxy turns HAProxy's words into ours.
func stateInHAProxy(d *socket.Detail) (state, why string) {
	switch word, _, _ := strings.Cut(d.Status, " "); {
	case strings.HasPrefix(d.Status, "MAINT (resolution"):
		return inside.Down, "HAProxy cannot resolve its host name"
	case word == "MAINT":
		return inside.Maint, "it is in maintenance in HAProxy, by hand or by its server_options (disabled)"
	case word == "DRAIN":
		return inside.Draining, "it is set to drain in HAProxy, by hand or by weight 0"
	case word == "DOWN":
		return inside.Down, "HAProxy's check fails: " + d.Check
	case word == "NOLB":
		return inside.Down, "its check asks for no new traffic (NOLB)"
	case d.Weight == 0 && !d.Backup:
		return inside.Draining, "its weight is 0"
	case d.Backup:
		return inside.Backup, "it serves when no other does"
	default:
		return inside.Live, ""
	}
}

// leaving describes servers that HAProxy still has although nobody lists them.
func (at *position) leaving() []inside.Backend {
	var list []inside.Backend
	for name, d := range at.running {
		if !strings.HasPrefix(d.Status, "MAINT") && !strings.HasPrefix(d.Status, "DRAIN") && d.Sessions == 0 {
			continue // one of the backend's own lines, or of server-template
		}
		b := inside.Backend{
			Address: d.Addr, State: inside.Draining, Server: &inside.Server{Name: name},
			Why: fmt.Sprintf("the source does not list it any longer, it was withdrawn: HAProxy drains it, %d sessions are left", d.Sessions),
		}
		fill(b.Server, d)
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b inside.Backend) int { return strings.Compare(a.Server.Name, b.Server.Name) })
	return list
}
