package haproxy

import (
	"maps"
	"slices"
)

// content is what a configuration file says, by who says it. Contents are
// compared without comments and blank lines.
type content struct {
	preamble []byte
	stanzas  map[string][]byte // the frontend and backend of each service
	shared   []byte
	// sections are those that stanzas has the texts of, all of them; nil = not
	// known. A section that stays is the same pointer, so that comparing two
	// contents costs what has changed.
	sections []*Section
}

// contentOf returns what the rendered m says. like is one that says mostly the
// same; nil = none.
func contentOf(m Model, like *content) content {
	c := content{preamble: m.Preamble, shared: m.SharedFrontend, sections: m.Sections}
	if like != nil {
		if at, alike := apart(like.sections, m.Sections); alike {
			c.stanzas = maps.Clone(like.stanzas)
			for _, i := range at {
				c.stanzas[m.Sections[i].Service] = m.Sections[i].Text
			}
			return c
		}
	}
	c.stanzas = make(map[string][]byte, len(m.Sections))
	for _, s := range m.Sections {
		c.stanzas[s.Service] = s.Text
	}
	return c
}

// clone returns a copy that may be changed.
func (c *content) clone() *content {
	return &content{preamble: c.preamble, shared: c.shared, stanzas: maps.Clone(c.stanzas), sections: slices.Clone(c.sections)}
}

// apart returns the places at which a and b have different sections of the same
// service; alike is false when they have not the same services in the same order.
func apart(a, b []*Section) (at []int, alike bool) {
	if a == nil || len(a) != len(b) {
		return nil, false
	}
	for i := range a {
		if a[i] == b[i] {
			continue
		}
		if a[i].Service != b[i].Service {
			return nil, false
		}
		at = append(at, i)
	}
	return at, true
}

// changedSections returns the sections of b that are not the same in a.
func changedSections(a, b []*Section) []*Section {
	at, alike := apart(a, b)
	if !alike {
		return b
	}
	list := make([]*Section, len(at))
	for i, place := range at {
		list[i] = b[place]
	}
	return list
}

// differs reports whether HAProxy would notice a difference between c and m.
func (c *content) differs(m Model) bool {
	if len(c.stanzas) != len(m.Sections) || !sameLines(c.preamble, m.Preamble) || !sameLines(c.shared, m.SharedFrontend) {
		return true
	}
	return slices.ContainsFunc(changedSections(c.sections, m.Sections), func(s *Section) bool {
		text, there := c.stanzas[s.Service]
		return !there || stanzaChange(text, s.Text) != ""
	})
}

// says reports whether the sections have the same texts in c.
func (c *content) says(sections []*Section) bool {
	return !slices.ContainsFunc(changedSections(c.sections, sections), func(s *Section) bool {
		return !sameText(c.stanzas[s.Service], s.Text)
	})
}

// unlike returns the services of which old and now say different things, in
// the order of their names.
func unlike(old, now *content) []string {
	var names []string
	if at, alike := apart(old.sections, now.sections); alike {
		for _, i := range at {
			if !sameText(old.sections[i].Text, now.sections[i].Text) {
				names = append(names, now.sections[i].Service)
			}
		}
	} else {
		for name, after := range now.stanzas {
			if before, was := old.stanzas[name]; !was || !sameText(before, after) {
				names = append(names, name)
			}
		}
		for name := range old.stanzas {
			if _, still := now.stanzas[name]; !still {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// sameText is a comparison that costs nothing for what has not changed.
func sameText(a, b []byte) bool { return string(a) == string(b) }
