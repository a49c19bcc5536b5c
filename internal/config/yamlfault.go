package config

import (
	"bytes"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

var (
	yamlError     = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
	indentTab     = regexp.MustCompile(`(?m)^ *\t`)
	// parserError matches what yaml.v3 says about the order of tokens. These
	// messages count lines from 0 and name the line where the object or list
	// begins, the others count from 1 and name the line of the fault.
	parserError = regexp.MustCompile(`^did not find expected (?:key|node content|'-' indicator|',' or|<)`)
)

// syntaxFault finds the place that err of yaml.v3 means.
func (y *yamlTree) syntaxFault(err error) Fault {
	m := yamlError.FindStringSubmatch(err.Error())
	if m == nil {
		return y.text.fault(0, err.Error())
	}
	msg := "no valid YAML: " + m[2]
	if anchor := unknownAnchor.FindStringSubmatch(m[2]); anchor != nil {
		return y.text.fault(max(bytes.Index(y.seen, []byte("*"+anchor[1])), 0), msg)
	}
	if strings.HasPrefix(m[2], "control characters") {
		return y.text.fault(max(bytes.IndexFunc(y.seen, isControl), 0), msg)
	}
	line, _ := strconv.Atoi(m[1])
	switch {
	case !parserError.MatchString(m[2]):
	case strings.Contains(m[2], "',' or"):
		line++
		if bytes.ContainsAny(y.line(line), "[{") {
			msg += " for the bracket that opens in this line"
		}
	default:
		line = y.failingLine(err, line+1)
	}
	off := y.offset(max(line, 1), 1)
	if strings.Contains(m[2], "cannot start any token") || strings.Contains(m[2], "tab character") {
		if tab := indentTab.FindIndex(y.seen[off:y.offset(max(line, 1)+2, 1)]); tab != nil {
			return y.text.fault(off+tab[1]-1, "no valid YAML: a tab stands here; only spaces may indent")
		}
	}
	_, blanks := firstByte(y.seen[off:])
	return y.text.fault(off+blanks, msg)
}

func (y *yamlTree) line(i int) []byte {
	return y.seen[y.offset(i, 1):y.offset(i+1, 1)]
}

// isControl tells what YAML allows nowhere.
func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f || r >= 0x80 && r < 0xa0 && r != 0x85
}

// failingLine finds the line that makes the text invalid, from the line where
// the broken value begins on: the first after which the text up to there fails
// in the same way.
func (y *yamlTree) failingLine(err error, from int) int {
	const small = 1 << 20 // each step parses the text up to the line
	if len(y.seen) > small || from >= len(y.lines) {
		return from
	}
	return from + sort.Search(len(y.lines)-from, func(i int) bool {
		_, _, e := decodeYAML(y.seen[:y.offset(from+i+1, 1)])
		return e != nil && e.Error() == err.Error()
	})
}
