package config

import "sort"

// columns counts the characters of a text without starting over each time, so
// that a file on a single line costs no more than any other.
type columns struct {
	b     []byte
	marks []int // characters that begin before each block
}

const columnBlock = 256

func newColumns(b []byte) columns {
	c := columns{b: b, marks: make([]int, 0, len(b)/columnBlock+1)}
	n := 0
	for i := range b {
		if i%columnBlock == 0 {
			c.marks = append(c.marks, n)
		}
		n += begins(b[i])
	}
	return c
}

// begins returns 1 for the first byte of a character, else 0.
func begins(c byte) int {
	if c&0xC0 == 0x80 {
		return 0
	}
	return 1
}

// before returns the number of characters that begin before off.
func (c columns) before(off int) int {
	block := off / columnBlock
	if block >= len(c.marks) {
		block = len(c.marks) - 1
	}
	if block < 0 {
		return 0
	}
	n := c.marks[block]
	for _, b := range c.b[block*columnBlock : off] {
		n += begins(b)
	}
	return n
}

// offset returns where the character begins that has n before it.
func (c columns) offset(n int) int {
	block := max(sort.SearchInts(c.marks, n+1)-1, 0)
	off := min(block*columnBlock, len(c.b))
	if len(c.marks) > 0 {
		n -= c.marks[block]
	}
	for ; off < len(c.b); off++ {
		if n -= begins(c.b[off]); n < 0 {
			break
		}
	}
	return off
}
