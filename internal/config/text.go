package config

import (
	"bytes"
	"slices"
)

// text is what the parsers see, and the way back from there to the file: the
// templates' results shift everything behind them.
type text struct {
	src   *source
	orig  []byte  // the file, without its byte order mark
	out   []byte  // the same after expansion
	parts []part  // sorted by out; empty when nothing was expanded
	lines []int   // offsets in orig at which lines begin
	cols  columns // of orig
}

// part says where a stretch of the expanded text comes from.
type part struct {
	out, orig int
	fixed     bool // a template's result: all of it comes from orig, the tag
}

func newText(src *source, data []byte) *text {
	t := &text{src: src, orig: data, out: data, lines: []int{0}, cols: newColumns(data)}
	for i, c := range data {
		if c == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// at returns the place in the file of an offset in the expanded text.
func (t *text) at(out int) place {
	off := min(out, len(t.out))
	if len(t.parts) > 0 {
		i, found := slices.BinarySearchFunc(t.parts, off, func(p part, off int) int { return p.out - off })
		if !found {
			i--
		}
		p := t.parts[i]
		off = p.orig
		if !p.fixed {
			off += min(out, len(t.out)) - p.out
		}
	}
	return t.origin(off)
}

// origin returns the place of an offset in the file itself.
func (t *text) origin(off int) place {
	off = min(off, len(t.orig))
	line, found := slices.BinarySearch(t.lines, off)
	if !found {
		line--
	}
	return place{line: line + 1, col: t.cols.before(off) - t.cols.before(t.lines[line]) + 1}
}

// fault says msg about an offset in the expanded text.
func (t *text) fault(out int, msg string) Fault { return t.src.fault(t.at(out), msg) }

func (s *source) fault(at place, msg string) Fault {
	return Fault{File: s.name, Line: at.line, Col: at.col, Path: "", Msg: msg}
}

// nbsp is the no-break space in UTF-8. Samples copied from web pages have it
// where blanks are meant.
var nbsp = []byte("\u00a0")

// firstByte returns the first byte of b that is not blank, and its offset.
func firstByte(b []byte) (byte, int) {
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n':
		case bytes.HasPrefix(b[i:], nbsp):
			i++
		default:
			return b[i], i
		}
	}
	return 0, len(b)
}
