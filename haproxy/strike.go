package haproxy

import (
	"bytes"
	"maps"
	"slices"
)

// strikes are server lines that HAProxy refuses, by service and line, with the
// reason. A service whose registry holds one bad server goes on without that
// one alone. The value is immutable: the publisher finds strikes while it
// checks a file, and the output's goroutine uses them.
type strikes map[string]map[string]string

// with returns s and the lines of one more blamed service; false when nothing
// is new, or when it would leave the service without a server.
func (s strikes) with(want Model, b blamed) (strikes, bool) {
	i := slices.IndexFunc(want.Sections, func(x *Section) bool { return x.Service == b.service })
	if i < 0 || len(b.servers) == 0 {
		return s, false
	}
	lines := maps.Clone(s[b.service])
	if lines == nil {
		lines = map[string]string{}
	}
	before := len(lines)
	left := 0
	for j := range want.Sections[i].Servers {
		server := &want.Sections[i].Servers[j]
		if line := server.Line(); slices.Contains(b.servers, server.Name) {
			lines[line] = b.reason
		} else if _, struck := lines[line]; !struck {
			left++
		}
	}
	if left == 0 || len(lines) == before {
		return s, false
	}
	next := maps.Clone(s)
	if next == nil {
		next = strikes{}
	}
	next[b.service] = lines
	return next, true
}

// of returns s without the lines that want does not hold any more.
func (s strikes) of(want Model) strikes {
	var next strikes
	for _, sec := range want.Sections {
		if len(s[sec.Service]) == 0 {
			continue // nearly always: no line is made then
		}
		var lines map[string]string
		for i := range sec.Servers {
			if reason, struck := s[sec.Service][sec.Servers[i].Line()]; struck {
				if lines == nil {
					lines = map[string]string{}
				}
				lines[sec.Servers[i].Line()] = reason
			}
		}
		if lines != nil {
			if next == nil {
				next = strikes{}
			}
			next[sec.Service] = lines
		}
	}
	return next
}

// remaker makes other sections of some of a model's, each once as long as it
// says the same. It belongs to one goroutine.
type remaker struct{ made map[*Section]*Section }

// apply returns want with the sections that other makes; where that is nil the
// section stays.
func (k *remaker) apply(want Model, other func(*Section) *Section) Model {
	m := want
	m.Sections = slices.Clone(want.Sections)
	made := map[*Section]*Section{}
	for i, sec := range m.Sections {
		next := other(sec)
		if next == nil {
			continue
		}
		if old := k.made[sec]; old != nil && bytes.Equal(old.Text, next.Text) {
			next = old
		}
		m.Sections[i], made[sec] = next, next
	}
	k.made = made
	return m
}

// striker applies strikes. It belongs to one goroutine.
type striker struct{ remaker }

// apply returns want without the struck servers.
func (k *striker) apply(want Model, s strikes) Model {
	if len(s) == 0 {
		k.made = nil
		return want
	}
	return k.remaker.apply(want, func(sec *Section) *Section {
		if len(s[sec.Service]) == 0 {
			return nil
		}
		return sectionWithout(sec, s[sec.Service])
	})
}

// sectionWithout returns sec without the servers of the given lines.
func sectionWithout(sec *Section, lines map[string]string) *Section {
	out := *sec
	out.Servers, out.Text = nil, nil
	drop := map[string]bool{}
	for i := range sec.Servers {
		if line := sec.Servers[i].Line(); lines[line] == "" {
			out.Servers = append(out.Servers, sec.Servers[i])
		} else {
			drop["\t"+line+"\n"] = true
		}
	}
	for line := range bytes.Lines(sec.Text) {
		if !drop[string(line)] {
			out.Text = append(out.Text, line...)
		}
	}
	return &out
}

// held lists the struck servers, for people.
func (s strikes) held() []Held {
	var list []Held
	for _, service := range slices.Sorted(maps.Keys(s)) {
		for _, line := range slices.Sorted(maps.Keys(s[service])) {
			name, _ := serverOf(line)
			list = append(list, Held{Service: service, Server: name, Reason: s[service][line], LeftOut: true})
		}
	}
	return list
}
