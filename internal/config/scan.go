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
	end, rest := "", b[i:]
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
	var open []int
	for i, c := range tokens(b) {
		switch c {
		case '{', '[':
			open = append(open, i)
		case '}', ']':
			if len(open) == 0 {
				continue
			}
			last := open[len(open)-1]
			if from, _ := indent(b, last); len(open) > 1 {
				if to, first := indent(b, i); first && to < from {
					return last
				}
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return -1
	}
	return open[len(open)-1]
}

// indent returns the width of the blanks before the line of offset i, and
// whether i is the first thing on that line.
func indent(b []byte, i int) (width int, first bool) {
	line := bytes.LastIndexByte(b[:i], '\n') + 1
	width = len(b[line:]) - len(bytes.TrimLeft(b[line:], " \t"))
	return width, line+width == i
}
