package config

import (
	"bytes"
	"strings"
)

// expandNames replaces {{ .NAME }}, the simplest of Go's templates, by the
// environment variable, if that is set. All else stays as it is.
func (t *text) expandNames(o ReadOptions) {
	e := &erb{t: t, o: o}
	in := t.orig
	for off := 0; off < len(in) && len(e.out) <= maxBytes; {
		i := bytes.Index(in[off:], []byte("{{"))
		n := -1
		if i >= 0 {
			n = bytes.Index(in[off+i:], []byte("}}"))
		}
		if n < 0 {
			e.copy(off, len(in))
			break
		}
		start, end := off+i, off+i+n+2
		value, set := o.named(string(in[start+2 : end-2]))
		if !set {
			end = start + 2 // another may begin inside
			e.copy(off, end)
		} else {
			e.copy(off, start)
			e.insert(start, value)
		}
		off = end
	}
	t.out, t.parts = e.out, e.parts
}

// named returns the variable that the action of a template asks for.
func (o ReadOptions) named(action string) (value string, set bool) {
	name, ok := strings.CutPrefix(strings.TrimSpace(action), ".")
	other := func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if !ok || name == "" || strings.ContainsFunc(name, other) || o.Getenv == nil {
		return "", false
	}
	return o.Getenv(name)
}
