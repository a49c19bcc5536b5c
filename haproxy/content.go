package haproxy

import (
	"iter"
	"maps"
	"slices"
)

// content is what a configuration file says, by who says it. Contents are
// compared without comments and blank lines.
type content struct {
	preamble []byte
	stanzas  texts // the frontend and backend of each service
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
			c.stanzas = like.stanzas.clone()
			for _, i := range at {
				c.stanzas.set(m.Sections[i].Service, m.Sections[i].Text)
			}
			return c
		}
	}
	c.stanzas.most = make(map[string][]byte, len(m.Sections))
	for _, s := range m.Sections {
		c.stanzas.most[s.Service] = s.Text
	}
	return c
}

// texts are texts by service. Two contents of which one follows the other have
// nearly all of them in common, and share these.
type texts struct {
	most map[string][]byte // shared: not changed
	new  map[string][]byte // what counts instead
}

// clone returns texts of which set changes nobody else's.
func (t texts) clone() texts {
	if len(t.new) <= len(t.most)/16 {
		return texts{most: t.most, new: maps.Clone(t.new)}
	}
	whole := maps.Clone(t.most)
	maps.Copy(whole, t.new)
	return texts{most: whole}
}

func (t *texts) set(service string, text []byte) {
	if t.new == nil {
		t.new = map[string][]byte{}
	}
	t.new[service] = text
}

func (t texts) of(service string) (text []byte, there bool) {
	if text, there = t.new[service]; !there {
		text, there = t.most[service]
	}
	return text, there
}

func (t texts) count() int {
	n := len(t.most)
	for name := range t.new {
		if _, there := t.most[name]; !there {
			n++
		}
	}
	return n
}

// all is in no order.
func (t texts) all() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for name, text := range t.new {
			if !yield(name, text) {
				return
			}
		}
		for name, text := range t.most {
			if _, replaced := t.new[name]; !replaced && !yield(name, text) {
				return
			}
		}
	}
}

// clone returns a copy that may be changed.
func (c *content) clone() *content {
	return &content{preamble: c.preamble, shared: c.shared, stanzas: c.stanzas.clone(), sections: slices.Clone(c.sections)}
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
	if c.stanzas.count() != len(m.Sections) || !sameLines(c.preamble, m.Preamble) || !sameLines(c.shared, m.SharedFrontend) {
		return true
	}
	return slices.ContainsFunc(changedSections(c.sections, m.Sections), func(s *Section) bool {
		text, there := c.stanzas.of(s.Service)
		return !there || stanzaChange(text, s.Text) != ""
	})
}

// says reports whether the sections have the same texts in c.
func (c *content) says(sections []*Section) bool {
	return !slices.ContainsFunc(changedSections(c.sections, sections), func(s *Section) bool {
		text, _ := c.stanzas.of(s.Service)
		return !sameText(text, s.Text)
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
		for name, after := range now.stanzas.all() {
			if before, was := old.stanzas.of(name); !was || !sameText(before, after) {
				names = append(names, name)
			}
		}
		for name := range old.stanzas.all() {
			if _, still := now.stanzas.of(name); !still {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// sameText is a comparison that costs nothing for what has not changed.
func sameText(a, b []byte) bool { return string(a) == string(b) }
