package config

import (
	"bytes"
	"fmt"
	"regexp"
)

// expand replaces the tags of ERB, Ruby's templates, by their results. Only
// what reads an environment variable or the host's name is known; any other
// tag is a fault, since silently wrong settings are worse than none.
func (t *text) expand(o ReadOptions) (faults []Fault) {
	e := &erb{t: t, o: o}
	in := t.orig
	for off := 0; off < len(in); {
		i := bytes.Index(in[off:], []byte("<%"))
		if i < 0 {
			e.copy(off, len(in))
			break
		}
		start := off + i
		e.copy(off, start)
		if bytes.HasPrefix(in[start:], []byte("<%%")) {
			e.insert(start, "<%")
			off = start + 3
			continue
		}
		n := bytes.Index(in[start+2:], []byte("%>"))
		if n < 0 {
			e.fault(start, `this "<%" has no "%>"`)
			break
		}
		off = start + 2 + n + 2
		e.tag(start, string(in[start+2:off-2]))
		if len(e.out) > maxBytes || len(e.faults) > 100 {
			break // enough to refuse the file
		}
	}
	t.out, t.parts = e.out, e.parts
	return e.faults
}

type erb struct {
	t      *text
	o      ReadOptions
	out    []byte
	parts  []part
	faults []Fault
}

func (e *erb) copy(from, to int) {
	if from < to {
		e.parts = append(e.parts, part{out: len(e.out), orig: from})
		e.out = append(e.out, e.t.orig[from:to]...)
	}
}

func (e *erb) insert(from int, s string) {
	if s != "" {
		e.parts = append(e.parts, part{out: len(e.out), orig: from, fixed: true})
		e.out = append(e.out, s...)
	}
}

func (e *erb) fault(off int, msg string) {
	e.faults = append(e.faults, e.t.src.fault(e.t.origin(off), msg))
}

func (e *erb) warn(off int, msg string) {
	e.t.src.warn(e.t.src.fault(e.t.origin(off), msg))
}

// tag expands one tag; code is what stands between "<%" and "%>".
func (e *erb) tag(start int, code string) {
	switch {
	case code != "" && code[0] == '#', required.MatchString(code):
		return
	case code == "" || code[0] != '=':
		e.fault(start, unsupported(code))
		return
	}
	v, err := evaluate(code[1:], e.o)
	switch {
	case err != nil:
		e.fault(start, err.Error())
		e.insert(start, "0") // any scalar, so that the rest can be checked too
	case v.unset != "":
		e.warn(start, fmt.Sprintf("the environment has no %s; nothing is inserted", v.unset))
	default:
		e.insert(start, v.text)
	}
}

// required is the only statement that changes nothing: it loads what Ruby needs
// for the tags that are known here anyway.
var required = regexp.MustCompile(`^\s*require\s+['"](?:socket|json|yaml|erb|etc)['"]\s*;?\s*$`)

func unsupported(code string) string {
	return fmt.Sprintf("the template tag <%%%s%%> is not supported; "+
		`supported are <%%= ENV['X'] %%>, <%%= ENV['X'] || 'default' %%>, <%%= ENV.fetch('X') %%>, `+
		"<%%= ENV.fetch('X', 'default') %%>, each with .strip, .to_i or .split(',').to_json, <%%= Socket.gethostname %%>, <%%= `hostname` %%> and <%%# comments %%>", clip(code))
}
