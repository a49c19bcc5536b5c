package config

import (
	"bytes"
	"iter"
)

// tokens yields the offsets of what gives JSON its shape, { } [ ] and the
// comma, and of no-break spaces, outside strings and comments. It needs no
// valid JSON: a string ends at its line's end at the latest.
func tokens(b []byte) iter.Seq2[int, byte] {
	return func(yield func(int, byte) bool) {
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i = stringEnd(b, i)
			case '/':
				i = commentEnd(b, i)
			case '{', '}', '[', ']', ',':
				if !yield(i, b[i]) {
					return
				}
			case nbsp[0]:
				if bytes.HasPrefix(b[i:], nbsp) && !yield(i, nbsp[0]) {
					return
				}
			}
		}
	}
}

// stringEnd returns the offset of the last byte of the string that begins at i.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"', '\n':
			return i
		case '\\':
			i++
		}
	}
	return len(b) - 1
}

// commentEnd returns the offset of the last byte of the comment that begins at
// i, or i when there is none.
func commentEnd(b []byte, i int) int {
	var end string
	rest := b[i:]
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		end = "\n"
	case bytes.HasPrefix(rest, []byte("/*")):
		end = "*/"
	default:
		return i
	}
	n := bytes.Index(rest[2:], []byte(end))
	if n < 0 {
		return len(b) - 1
	}
	return i + 2 + n + len(end) - 1
}

// openAt returns the offsets of the brackets that are open at the end of b,
// outermost first.
func openAt(b []byte) []int {
	var open []int
	for i, c := range tokens(b) {
		switch c {
		case '{', '[':
			open = append(open, i)
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		}
	}
	return open
}

// neverClosed guesses which bracket of b lacks its end, when there is one too
// few. The innermost open one at the end of the text is rarely it, so trust the
// indentation: the first end that stands further left than the line of its
// beginning belongs to a bracket further out.
func neverClosed(b []byte) int {
	type bracket struct{ off, indent int }
	var open []bracket
	var at lineWalk
	for i, c := range tokens(b) {
		width, first := at.step(b, i)
		switch c {
		case '{', '[':
			open = append(open, bracket{i, width})
		case '}', ']':
			if len(open) == 0 {
				continue
			}
			last := open[len(open)-1]
			if first && width < last.indent && len(open) > 1 {
				return last.off
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return -1
	}
	return open[len(open)-1].off
}

// lineWalk follows the lines of a text while it is read from front to back.
type lineWalk struct {
	seen, start, indent int
}

// step moves on to offset i. It returns the width of the blanks before its
// line, and whether i is the first thing on it.
func (w *lineWalk) step(b []byte, i int) (indent int, first bool) {
	if n := bytes.LastIndexByte(b[w.seen:i], '\n'); n >= 0 || w.seen == 0 {
		w.start = w.seen + n + 1
		w.indent = len(b[w.start:i]) - len(bytes.TrimLeft(b[w.start:i], " \t"))
	}
	w.seen = i
	return w.indent, w.start+w.indent == i
}
