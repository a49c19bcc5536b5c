package haproxy

import (
	"fmt"
	"strings"

	"smartstack/haproxy/syntax"
)

// normalise brings a line into the form that keywords are compared with:
// single spaces, lower case.
func normalise(line string) string {
	return strings.ToLower(strings.Join(strings.Fields(line), " "))
}

// lineFault tells why a text from a registry must not stand in the file; empty
// means that it may. It keeps to itself: no line break, no other control
// character, no open quote and no comment that would swallow what we write
// behind it.
func lineFault(line string) string {
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c < ' ' && c != '\t' || c == 0x7f:
			return "holds a line break or another control character"
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return "ends in a backslash"
			}
			if line[i] < ' ' {
				return "holds a line break or another control character"
			}
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return "holds a comment"
		}
	}
	if quote != 0 {
		return "leaves a quote open"
	}
	return ""
}

// firstWordFault tells why a line must not stand in a section, judged by its
// first word: HAProxy resolves quotes and escapes before it looks for the
// title of a section, so only plain words may stand there.
func firstWordFault(normalised string) string {
	word, _, _ := strings.Cut(normalised, " ")
	for i := range len(word) {
		if c := word[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return "does not begin with a plain keyword"
		}
	}
	if syntax.BeginsSection(word) {
		return "would begin another section"
	}
	return ""
}

// splitLines undoes line breaks within the lines of a configuration file, as
// in YAML's block texts.
func splitLines(lines []string) []string {
	var out []string
	for _, l := range lines {
		if !strings.ContainsAny(l, "\r\n") {
			out = append(out, l)
			continue
		}
		for part := range strings.Lines(l) {
			if part = strings.TrimRight(part, "\r\n"); strings.TrimSpace(part) != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

// oneLine makes one line of a value that ends up within one, as YAML's block
// texts have line breaks of their own.
func oneLine(value string) string {
	if !strings.ContainsAny(value, "\r\n") {
		return value
	}
	return strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == '\r' || r == '\n' }), " ")
}

// sifter sorts the lines of one service, or of the shared frontend.
type sifter struct {
	service  string
	foreign  bool // the lines come from a registry
	warnings []Warning
}

func (f *sifter) warn(where, format string, args ...any) {
	f.warnings = append(f.warnings, Warning{Service: f.service, Section: where, Reason: fmt.Sprintf(format, args...)})
}

// sift returns the lines that may stand in a section, as they were written.
// where names the option for the warnings; blank lines and comments go without
// one. accepts says whether a normalised line belongs into the section, wrong
// why one that does not is worth a warning (empty = it is not).
func (f *sifter) sift(where string, lines []string, accepts func(string) bool, wrong func(string) string) []string {
	var out []string
	if !f.foreign {
		lines = splitLines(lines)
	}
	for _, line := range lines {
		plain := normalise(line)
		if plain == "" || plain[0] == '#' {
			continue
		}
		reason := firstWordFault(plain)
		if f.foreign && reason == "" {
			reason = lineFault(line)
		}
		switch {
		case reason != "":
			f.warn(where, "line %.200q %s, left out", line, reason)
		case accepts(plain):
			now, why := modernise(line)
			if why != "" {
				f.warn(where, "line %.200q %s", line, why)
			}
			if now != "" {
				out = append(out, now)
			}
		default:
			if why := wrong(plain); why != "" {
				f.warn(where, "line %.200q %s, left out", line, why)
			}
		}
	}
	return out
}

// own sifts the lines of an option that belongs to section s alone.
func (f *sifter) own(where string, s section, lines []string) []string {
	return f.sift(where, lines, s.accepts, func(string) string { return "is not for a " + string(s) })
}

// listen picks the listen lines for section s. Both sections pick from the
// same lines; say is true for the one that reports the lines that none takes.
func (f *sifter) listen(s section, lines []string, say bool) []string {
	quiet := sifter{service: f.service, foreign: f.foreign}
	out := quiet.sift("listen", lines, s.accepts, func(plain string) string {
		if anySection(plain) {
			return ""
		}
		return "is neither for a frontend nor for a backend"
	})
	if say {
		f.warnings = append(f.warnings, quiet.warnings...)
	}
	return out
}
