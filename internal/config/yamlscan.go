package config

import "bytes"

// blankNBSP replaces the no-break spaces that only set YAML apart: those at a
// line's ends and beside punctuation, outside quotes. Within words they stay.
func blankNBSP(b []byte) []byte {
	if !bytes.Contains(b, nbsp) {
		return b
	}
	out := bytes.Clone(b)
	var quote byte // open across lines, as YAML's are
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && startsToken(out, i):
			quote = c
		case c == '#' && (i == 0 || isBlank(out[i-1])):
			if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(b)
			}
		case bytes.HasPrefix(b[i:], nbsp):
			end := i
			for end < len(b) && (b[end] == ' ' || b[end] == '\t' || bytes.HasPrefix(b[end:], nbsp)) {
				if b[end] == nbsp[0] {
					end++
				}
				end++
			}
			if startsToken(out, i) || endsToken(b, end) {
				for j := i; j < end; j++ {
					if out[j] != '\t' {
						out[j] = ' '
					}
				}
			}
			i = end - 1
		}
	}
	return out
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// startsToken tells whether what begins at i follows a line's begin or
// punctuation, blanks aside.
func startsToken(b []byte, i int) bool {
	for i--; i >= 0 && (b[i] == ' ' || b[i] == '\t'); i-- {
	}
	return i < 0 || bytes.IndexByte([]byte("\n\r:-,[{?!"), b[i]) >= 0
}

func endsToken(b []byte, i int) bool {
	return i >= len(b) || bytes.IndexByte([]byte("\n\r,]}#"), b[i]) >= 0
}

// yamlLines returns where lines begin, by all the breaks that yaml.v3 counts.
func yamlLines(b []byte) []int {
	lines := []int{0}
	for i := range b {
		switch {
		case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		case b[i] == '\r' || b[i] == '\n':
			lines = append(lines, i+1)
		case b[i] == 0xC2 && bytes.HasPrefix(b[i:], []byte("\u0085")):
			lines = append(lines, i+2)
		case b[i] == 0xE2 && (bytes.HasPrefix(b[i:], []byte("\u2028")) || bytes.HasPrefix(b[i:], []byte("\u2029"))):
			lines = append(lines, i+3)
		}
	}
	return lines
}

// yamlTooMany returns the offset at which more than maxValues values may have
// begun, or -1. It counts what can begin one, strings and comments included.
func yamlTooMany(b []byte) int {
	values := 0
	for i, c := range b {
		switch c {
		case '\n', ',', '[', '{':
			values++
		case '-', '?', ':':
			if i+1 == len(b) || isBlank(b[i+1]) {
				values++
			}
		}
		if values > maxValues {
			return i
		}
	}
	return -1
}
