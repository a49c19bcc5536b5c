package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// yamlChance tells whether a text that is no JSON may be flow YAML.
type yamlChance uint8

const (
	notYAML    yamlChance = iota
	maybeYAML             // what JSON refuses would be fine in YAML
	likelyYAML            // and is how YAML is written: bare words
)

// parseJSON reads JSON with comments and trailing commas.
func (t *text) parseJSON() (n *Node, faults []Fault, chance yamlChance) {
	// hujson needs a line's end behind a comment, and blanks that are blanks.
	b := append(bytes.Clone(t.out), '\n')
	depth, values := 0, 1
	for i, c := range tokens(t.out) {
		switch c {
		case nbsp[0]:
			copy(b[i:], "  ")
		case '}', ']':
			depth--
		case ',':
			values++
		default:
			depth, values = depth+1, values+1
		}
		if depth > maxDepth {
			return nil, []Fault{t.fault(i, tooDeep)}, notYAML
		}
		if values > maxValues {
			return nil, []Fault{t.fault(i, tooMany)}, notYAML
		}
	}
	v, err := hujson.Parse(b)
	if err != nil {
		f, chance := t.jsonFault(b, err)
		return nil, []Fault{f}, chance
	}
	return t.fromJSON(&v, nil, ""), nil, notYAML
}

var (
	tooDeep = fmt.Sprintf("nested more than %d levels deep", maxDepth)
	tooMany = fmt.Sprintf("more than %d values in one file", maxValues)
)

// fromJSON turns v, and what is in it, into Nodes below parent.
func (t *text) fromJSON(v *hujson.Value, parent *Node, name string) *Node {
	n := &Node{src: t.src, at: t.at(v.StartOffset), parent: parent, name: name}
	switch value := v.Value.(type) {
	case *hujson.Object:
		n.kind = Object
		var index keyIndex
		for i := range value.Members {
			m := &value.Members[i]
			k := key{name: m.Name.Value.(hujson.Literal).String(), at: t.at(m.Name.StartOffset)}
			older, again := n.addKey(k, t.fromJSON(&m.Value, n, k.name), &index)
			if again {
				t.src.twice(n, k, older)
			}
		}
	case *hujson.Array:
		n.kind = List
		n.items = make([]*Node, 0, len(value.Elements))
		for i := range value.Elements {
			n.items = append(n.items, t.fromJSON(&value.Elements[i], n, strconv.Itoa(i)))
		}
	case hujson.Literal:
		n.kind, n.text = literalKind(value), value.String()
		if n.kind != String {
			n.plain = n.text
		}
	}
	return n
}

func literalKind(l hujson.Literal) Kind {
	switch l.Kind() {
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	if bytes.ContainsAny(l, ".eE") {
		return Float
	}
	return Int
}

// twice notes that k stands more than once in n.
func (s *source) twice(n *Node, k key, older place) {
	f := s.fault(k.at, fmt.Sprintf("written twice, first at %s; this one counts", s.fault(older, "").pos()))
	f.Path = joinPath(n.Path(), k.name)
	s.warn(f)
}

// jsonFault says in our words what hujson found, and where the cause may be.
func (t *text) jsonFault(b []byte, err error) (Fault, yamlChance) {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return t.endFault(err), notYAML
	}
	off := jsonErrorOffset(b, err)
	what := err.Error()
	if inner := errors.Unwrap(err); inner != nil {
		what = inner.Error()
	}
	got, _ := utf8.DecodeRune(b[off:])
	chance := notYAML
	if got == '#' {
		chance = maybeYAML
	}
	var msg string
	switch {
	case strings.HasPrefix(what, "invalid literal"):
		msg, chance = literalFault(strings.TrimPrefix(what, "invalid literal: "))
	case strings.HasSuffix(what, "at start of object name"):
		msg, chance = fmt.Sprintf("want a key in double quotes, got %q", got), bareWord(got)
	case strings.HasSuffix(what, "at start of value"):
		msg, chance = fmt.Sprintf("want a value, got %q", got), bareWord(got)
	case strings.HasSuffix(what, "after object name"):
		msg = fmt.Sprintf(`want ":" after the key, got %q`, got)
	case strings.Contains(what, "after object value"):
		msg = fmt.Sprintf(`want "," or "}" after a value, got %q`, got)
	case strings.Contains(what, "after array value"):
		msg = fmt.Sprintf(`want "," or "]" after a value, got %q`, got)
	case strings.HasSuffix(what, "after top-level value"):
		msg = fmt.Sprintf("the text goes on after its end with %q; one bracket closes too much above", got)
	default:
		msg = what
	}
	return t.fault(off, msg+t.inside(b, off)), chance
}

// bareWord judges a character that JSON did not expect.
func bareWord(c rune) yamlChance {
	if unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("'&*!|>#~.+-_", c) {
		return likelyYAML
	}
	return notYAML
}

func literalFault(lit string) (string, yamlChance) {
	switch {
	case lit[0] != '"':
		return "no JSON value: " + clip(lit) + " (text needs double quotes)", likelyYAML
	case strings.ContainsAny(lit, "\r\n"):
		return "this text has no closing quote on its line", maybeYAML
	default:
		return "this text has an unknown escape or a control character", maybeYAML
	}
}

// inside names the bracket around an offset when it opened on another line:
// that one may be what was not closed.
func (t *text) inside(b []byte, off int) string {
	open := openAt(b[:off])
	if len(open) < 2 {
		return "" // the outermost one is no news
	}
	last := open[len(open)-1]
	at := t.at(last)
	if at.line == t.at(off).line {
		return ""
	}
	return fmt.Sprintf(" (inside the %q of %s)", b[last], t.src.fault(at, "").pos())
}

// endFault is for a text that ends too early.
func (t *text) endFault(err error) Fault {
	switch {
	case strings.Contains(err.Error(), "parsing string"):
		return t.fault(lastOpenString(t.out), "this text has no closing quote")
	case strings.Contains(err.Error(), "parsing comment"):
		return t.fault(max(bytes.LastIndex(t.out, []byte("/*")), 0), "this comment is never closed")
	}
	off := neverClosed(t.out)
	if off < 0 {
		return t.fault(len(t.out), "the text ends too early")
	}
	return t.fault(off, fmt.Sprintf("this %q is never closed", t.out[off]))
}

// lastOpenString returns where a string begins that its line does not close.
func lastOpenString(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '/':
			i = commentEnd(b, i)
		case '"':
			end := stringEnd(b, i)
			if b[end] != '"' || end == i {
				return i
			}
			i = end
		}
	}
	return len(b)
}

// jsonErrorOffset takes the place out of hujson's message; it has no other form.
func jsonErrorOffset(b []byte, err error) int {
	var line, col int
	if _, e := fmt.Sscanf(err.Error(), "hujson: line %d, column %d:", &line, &col); e != nil {
		return 0
	}
	off := 0
	for ; line > 1; line-- {
		off += bytes.IndexByte(b[off:], '\n') + 1
	}
	return min(off+col-1, len(b))
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}
