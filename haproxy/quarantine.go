package haproxy

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hold keeps one service at what was accepted last, because HAProxy refuses
// what it should have now.
type hold struct {
	refused *Section // the wanted section that is kept back
	reason  string   // what HAProxy said
	kept    *Section // what goes into the file; nil = nothing
}

// withHolds returns want with the sections in holds replaced by what is kept.
func withHolds(want Model, holds map[string]*hold) Model {
	if len(holds) == 0 {
		return want
	}
	m := want
	m.Sections = make([]*Section, 0, len(want.Sections))
	for _, s := range want.Sections {
		if h := holds[s.Service]; h != nil {
			s = h.kept
		}
		if s != nil {
			m.Sections = append(m.Sections, s)
		}
	}
	if len(want.SharedFrontend) > 0 {
		m.SharedFrontend = appendShared(slices.Clone(sharedHead(want)), m.Sections)
	}
	return m
}

// sharedHead returns the part of the shared frontend that is no service's.
func sharedHead(m Model) []byte {
	return m.SharedFrontend[:len(m.SharedFrontend)-len(appendShared(nil, m.Sections))]
}

// appendShared renders the services' lines as the Composer does.
func appendShared(b []byte, sections []*Section) []byte {
	for _, s := range sections {
		for _, line := range s.Shared {
			b = append(append(append(b, '\t'), line...), '\n')
		}
	}
	return b
}

// newHold decides what stays in the file for a service whose wanted section
// is refused. inShared says that its lines of the shared frontend are at fault.
func newHold(wanted, accepted *Section, reason string, inShared bool) *hold {
	h := &hold{refused: wanted, reason: reason}
	if accepted == nil {
		return h
	}
	kept := *accepted
	if kept.Carried { // from the file of an earlier run, where shared lines have no owner
		kept.Shared = wanted.Shared
		if inShared {
			kept.Shared = nil
		}
	}
	h.kept = &kept
	return h
}

// blamed is a service that a line of a check's output names.
type blamed struct {
	service  string // empty = the part of the file that is no service's
	reason   string
	inShared bool
}

var (
	alertPlace = regexp.MustCompile(`\[([^\[\]]+):(\d+)\]`)
	alertProxy = regexp.MustCompile(`(?i)\b(?:proxy|backend|frontend|listen)\s+'([^']+)'`)
	alertOwner = regexp.MustCompile(`'server\s+([^/']+)/`)
)

// blame reads what a check of m in the file path printed, and tells whose
// lines are refused: by line number, else by the name of a proxy. Nothing
// means that the output does not tell.
func blame(m Model, path, output string) []blamed {
	var found []blamed
	var lines *lineMap
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if isWarning(line) {
			continue
		}
		if lines == nil {
			lines = newLineMap(m)
		}
		b, ok := lines.byPlace(line, path)
		if !ok {
			b, ok = byName(m, line)
		}
		if !ok || slices.ContainsFunc(found, func(f blamed) bool { return f.service == b.service }) {
			continue
		}
		b.reason = alertText(line)
		found = append(found, b)
	}
	return found
}

func isWarning(line string) bool {
	return strings.HasPrefix(line, "[WARNING]") || strings.HasPrefix(line, "[NOTICE]") || strings.HasPrefix(line, "|")
}

// alertText cuts what is the same for every alert.
func alertText(line string) string {
	if i := strings.Index(line, " : config : "); i >= 0 {
		line = line[i+len(" : config : "):]
	}
	return line
}

// alerts returns what is worth reading of a check's output.
func alerts(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !isWarning(line) {
			kept = append(kept, alertText(line))
		}
	}
	return strings.Join(kept, "\n")
}

// byName looks for the name of a proxy that is a service's.
func byName(m Model, line string) (blamed, bool) {
	for _, re := range []*regexp.Regexp{alertOwner, alertProxy} {
		match := re.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		for _, s := range m.Sections {
			if s.BackendName == match[1] || s.FrontendName == match[1] {
				return blamed{service: s.Service}, true
			}
		}
	}
	return blamed{}, false
}

// lineMap tells which service wrote which line of a rendered model.
type lineMap struct {
	starts []int // the first line of each part, ascending, counted from 1
	owners []blamed
}

func newLineMap(m Model) *lineMap {
	l := &lineMap{}
	next := 1
	add := func(owner blamed, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > 0 {
			l.starts, l.owners = append(l.starts, next), append(l.owners, owner)
			next += n
		}
	}
	add(blamed{}, []byte(header))
	add(blamed{}, m.Preamble)
	for _, s := range m.Sections {
		add(blamed{service: s.Service}, s.Text)
	}
	if len(m.SharedFrontend) > 0 {
		add(blamed{}, sharedHead(m))
		for _, s := range m.Sections {
			add(blamed{service: s.Service, inShared: true}, appendShared(nil, []*Section{s}))
		}
	}
	return l
}

// byPlace finds the owner of the first [file:line] of the checked file.
func (l *lineMap) byPlace(line, path string) (blamed, bool) {
	for _, match := range alertPlace.FindAllStringSubmatch(line, -1) {
		n, err := strconv.Atoi(match[2])
		if err != nil || n < 1 || filepath.Base(match[1]) != filepath.Base(path) {
			continue
		}
		i, exact := slices.BinarySearch(l.starts, n)
		if !exact {
			i--
		}
		if i < 0 {
			return blamed{}, false
		}
		return l.owners[i], true
	}
	return blamed{}, false
}
