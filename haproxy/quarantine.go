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

// blamed is a service that lines of a check's output name.
type blamed struct {
	service  string   // empty = the part of the file that is no service's
	servers  []string // the names on the lines, when all of them are server lines
	reason   string   // of the first line
	inShared bool
}

var (
	alertPlace = regexp.MustCompile(`\[([^\[\]]+):(\d+)\]`)
	alertProxy = regexp.MustCompile(`(?i)\b(?:proxy|backend|frontend|listen)\s+'([^']+)'`)
	alertOwner = regexp.MustCompile(`'server\s+([^/']+)/([^']*)`)
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
		if !ok {
			continue
		}
		b.reason = alertText(line)
		i := slices.IndexFunc(found, func(f blamed) bool { return f.service == b.service })
		if i < 0 {
			found = append(found, b)
			continue
		}
		f := &found[i]
		f.inShared = f.inShared || b.inShared
		if f.servers == nil || b.servers == nil {
			f.servers = nil // more than servers is at fault
		} else {
			f.servers = append(f.servers, b.servers...)
		}
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
				b := blamed{service: s.Service}
				if len(match) > 2 && slices.ContainsFunc(s.Servers, func(x Server) bool { return x.Name == match[2] }) {
					b.servers = []string{match[2]}
				}
				return b, true
			}
		}
	}
	return blamed{}, false
}

// lineMap tells which service wrote which line of a rendered model.
type lineMap struct {
	starts []int // the first line of each part, ascending, counted from 1
	owners []blamed
	texts  [][]byte
}

func newLineMap(m Model) *lineMap {
	l := &lineMap{}
	next := 1
	add := func(owner blamed, text []byte) {
		if n := bytes.Count(text, []byte("\n")); n > 0 {
			l.starts, l.owners, l.texts = append(l.starts, next), append(l.owners, owner), append(l.texts, text)
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
		b := l.owners[i]
		if name, ok := serverAt(l.texts[i], n-l.starts[i]); ok && b.service != "" && !b.inShared {
			b.servers = []string{name}
		}
		return b, true
	}
	return blamed{}, false
}

// serverAt returns the name of the server on line n of text, counted from 0.
func serverAt(text []byte, n int) (name string, ok bool) {
	for line := range bytes.Lines(text) {
		if n == 0 {
			return serverOf(strings.TrimSpace(string(line)))
		}
		n--
	}
	return "", false
}
