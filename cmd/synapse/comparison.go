package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
)

// comparison is one backend in three places, one of which may be several
// processes.
type comparison struct {
	service, backend string
	section          *haproxy.Section // nil = nobody wants the backend
	file             *haproxy.InFile  // nil = it cannot be read
	processes        []*haproxy.Inspected
}

// compared is one server of it.
type compared struct {
	name    string
	wanted  *haproxy.Server  // nil = nobody wants it
	running []*socket.Detail // by process; nil = it does not run it
	inFile  string           // its line; empty = it has none
}

func (c *comparison) differences() []difference {
	all := map[string]*compared{}
	at := func(name string) *compared {
		if all[name] == nil {
			all[name] = &compared{name: name, running: make([]*socket.Detail, len(c.processes))}
		}
		return all[name]
	}
	if c.section != nil {
		for i := range c.section.Servers {
			at(c.section.Servers[i].Name).wanted = &c.section.Servers[i]
		}
	}
	for i, p := range c.processes {
		for k := range p.Servers[c.backend] {
			r := &p.Servers[c.backend][k]
			at(r.Name).running[i] = r
		}
	}
	weight := func(*haproxy.Server) (int, bool) { return 0, false }
	if c.file != nil {
		for name, line := range c.file.Servers[c.backend] {
			at(name).inFile = line
		}
		if c.section != nil {
			weight = c.file.Weigher(c.section)
		}
	}
	var list []difference
	for _, s := range all {
		if s.wanted == nil && c.own(s.name) {
			continue
		}
		if why := append(c.inHAProxy(s, weight), c.inFile(s)...); len(why) > 0 {
			list = append(list, s.difference(c.service, why))
		}
	}
	return list
}

func (s *compared) difference(service string, why []string) difference {
	d := difference{Service: service, Server: s.name, Why: strings.Join(why, "; ")}
	if s.wanted != nil {
		d.Wanted = s.wanted.Address()
	}
	if words := strings.Fields(s.inFile); len(words) > 2 {
		d.File = words[2]
	}
	var running []string
	for _, r := range s.running {
		if r == nil {
			continue
		}
		if text := strings.TrimSpace(r.Addr + " " + r.Status); !slices.Contains(running, text) {
			running = append(running, text)
		}
	}
	d.Running = strings.Join(running, ", ")
	return d
}

// inHAProxy says what is different in the processes.
func (c *comparison) inHAProxy(s *compared, weight func(*haproxy.Server) (int, bool)) (list []string) {
	for i, r := range s.running {
		why := s.in(r, weight)
		switch {
		case why == "" || slices.Contains(list, why):
			continue
		case len(s.running) > 1:
			why = "on " + c.processes[i].Socket + ": " + why
		}
		list = append(list, why)
	}
	return list
}

// in says what is different in one process; empty means nothing.
func (s *compared) in(r *socket.Detail, weight func(*haproxy.Server) (int, bool)) string {
	w := s.wanted
	if w == nil && r == nil {
		return ""
	}
	want, told := 0, false
	if w != nil {
		want, told = weight(w)
	}
	out := r != nil && (strings.HasPrefix(r.Status, "MAINT") || strings.HasPrefix(r.Status, "DRAIN") && !(told && want == 0))
	switch {
	case r == nil:
		return "HAProxy does not run it"
	case w == nil && s.inFile == "":
		return fmt.Sprintf("HAProxy runs it (%s, %d sessions), and nobody wants it", r.Status, r.Sessions)
	case w == nil: // the file says more
		return ""
	case r.Addr != "" && isAddress(w.Address()) && !sameAddress(r.Addr, w.Address()):
		return "HAProxy runs it at another address"
	case out && !w.Disabled:
		return "HAProxy has taken it out: " + r.Status
	case r.Backup != w.Backup:
		return fmt.Sprintf("HAProxy runs it with backup %v, wanted is %v", r.Backup, w.Backup)
	case told && r.SetWeight >= 0 && r.SetWeight != want:
		return fmt.Sprintf("HAProxy runs it with weight %d, wanted is %d", r.SetWeight, want)
	}
	return ""
}

// inFile says what is different in the file.
func (c *comparison) inFile(s *compared) []string {
	var address string
	if words := strings.Fields(s.inFile); len(words) > 2 {
		address = words[2]
	}
	switch {
	case c.file == nil:
	case s.wanted == nil && s.inFile != "":
		return []string{"the file still has it"}
	case s.wanted == nil:
	case s.inFile == "":
		return []string{"the file does not have it yet"}
	case address != s.wanted.Address():
		return []string{"the file has it at another address"}
	case !slices.Equal(strings.Fields(s.inFile), strings.Fields(s.wanted.Line())):
		return []string{"the file has it with other options: " + s.inFile}
	}
	return nil
}

// own tells whether a server is of the backend's own lines.
func (c *comparison) own(name string) bool {
	return c.section != nil && slices.ContainsFunc(c.section.Backend, func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 1 && (words[0] == "server" && words[1] == name || words[0] == "server-template" && strings.HasPrefix(name, words[1]))
	})
}

func isAddress(s string) bool {
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddrPort(a)
	y, errY := netip.ParseAddrPort(b)
	return errX != nil || errY != nil || x.Port() == y.Port() && x.Addr().Unmap() == y.Addr().Unmap()
}
