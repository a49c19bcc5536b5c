package haproxy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// shownServers is how many servers one reason names.
const shownServers = 3

// reasons says, one sentence per service, why a HAProxy that has loaded the
// old content does not run the new one. nil means that there is no difference
// that HAProxy would notice. Services that are in both are left out where skip
// says so; nil = none.
func reasons(old, now content, skip func(service string) bool) []string {
	var list []string
	if !sameLines(old.preamble, now.preamble) {
		list = append(list, "global, defaults or extra sections changed")
	}
	for _, name := range unlike(&old, &now) {
		before, was := old.stanzas.of(name)
		after, is := now.stanzas.of(name)
		switch {
		case was && is && skip != nil && skip(name):
		case !was:
			list = append(list, "service "+name+": added")
		case !is:
			list = append(list, "service "+name+": removed")
		default:
			if change := stanzaChange(before, after); change != "" {
				list = append(list, "service "+name+": "+change)
			}
		}
	}
	if !sameLines(old.shared, now.shared) {
		list = append(list, "shared frontend changed")
	}
	return list
}

// servicesIn names the services that reasons are about.
func servicesIn(reasons []string) string {
	var names []string
	for _, r := range reasons {
		if rest, ok := strings.CutPrefix(r, "service "); ok {
			name, _, _ := strings.Cut(rest, ": ")
			names = append(names, name)
		}
	}
	return told(names)
}

// stanza is the text of one service, taken apart.
type stanza struct {
	lines   []string // all but the servers, comments and blank lines
	names   []string // the servers, in order
	servers map[string]string
}

func newStanza(text []byte) stanza {
	st := stanza{servers: map[string]string{}}
	for line := range significantLines(text) {
		name, isServer := serverOf(line)
		if !isServer {
			st.lines = append(st.lines, line)
			continue
		}
		st.names = append(st.names, name)
		st.servers[name] = line
	}
	return st
}

// serverOf returns the name on a server line.
func serverOf(line string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(line, "server ")
	if !ok {
		return "", false
	}
	name, _, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
	return name, name != ""
}

// stanzaChange says what HAProxy would notice between two texts of one
// service; empty = nothing.
func stanzaChange(old, now []byte) string {
	if bytes.Equal(old, now) {
		return ""
	}
	a, b := newStanza(old), newStanza(now)
	var changes []string
	if !slices.Equal(a.lines, b.lines) {
		changes = append(changes, "frontend or backend options changed")
	}
	var added, removed, changed []string
	for _, name := range b.names {
		if line, there := a.servers[name]; !there {
			added = append(added, name)
		} else if line != b.servers[name] {
			changed = append(changed, name)
		}
	}
	for _, name := range a.names {
		if _, still := b.servers[name]; !still {
			removed = append(removed, name)
		}
	}
	changes = appendServers(changes, "added", added)
	changes = appendServers(changes, "removed", removed)
	changes = appendServers(changes, "changed", changed)
	if len(changes) == 0 && !slices.Equal(a.names, b.names) {
		changes = append(changes, "order of servers changed")
	}
	return strings.Join(changes, ", ")
}

func appendServers(changes []string, what string, names []string) []string {
	switch n := len(names); {
	case n == 0:
		return changes
	case n == 1:
		return append(changes, "server "+what+" "+names[0])
	case n <= shownServers:
		return append(changes, fmt.Sprintf("%d servers %s: %s", n, what, strings.Join(names, " ")))
	default:
		return append(changes, fmt.Sprintf("%d servers %s: %s …", n, what, strings.Join(names[:shownServers], " ")))
	}
}

// sameStructure reports whether two texts of one service differ in their
// servers at most, which is what can be changed over the socket.
func sameStructure(old, now []byte) bool {
	return bytes.Equal(old, now) || slices.Equal(newStanza(old).lines, newStanza(now).lines)
}

// sameLines compares two texts as HAProxy reads them. Most of two long texts is
// alike, so nothing is copied on the way to the first difference.
func sameLines(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	for {
		var x, y []byte
		x, a = nextLine(a)
		y, b = nextLine(b)
		switch {
		case !bytes.Equal(x, y):
			return false
		case x == nil:
			return true
		}
	}
}

// nextLine returns the first line of text that is neither blank nor a comment,
// without the white space around it, and what follows it; nil = there is none.
func nextLine(text []byte) (line, rest []byte) {
	for len(text) > 0 {
		line, text, _ = bytes.Cut(text, []byte("\n"))
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return line, text
		}
	}
	return nil, nil
}

// significantLines yields the lines that nextLine finds.
func significantLines(text []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			line, rest := nextLine(text)
			if line == nil || !yield(string(line)) {
				return
			}
			text = rest
		}
	}
}

// since names the services that a file says something else of than the one
// before, and says what the change is about. before is nil for the first file.
func (c *content) since(before *content) (services, reason string) {
	if before == nil {
		return "", "it is the first that this synapse writes"
	}
	changed := unlike(before, c)
	switch {
	case !sameText(before.preamble, c.preamble) || !sameText(before.shared, c.shared):
		reason = fmt.Sprintf("global, defaults, extra or shared sections, and %d services, are others", len(changed))
	case len(changed) == 0:
		reason = "it was not as it should be"
	default:
		reason = fmt.Sprintf("%d services are others", len(changed))
	}
	return told(changed), reason
}
