package config

import (
	"strconv"
	"strings"
)

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b. Long texts are no typing errors: they are far.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	var rows [3][longest + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// nearest returns the name that key is most likely a misspelling of; empty =
// none.
func nearest(key string, names []string) string {
	best, most := "", min(2, len(key)/3)+1
	for _, name := range names {
		if dist := distance(key, name); dist < most {
			best, most = name, dist
		}
	}
	return best
}

// DidYouMean ends a message about a word that is none of those known: with the
// one that was probably meant, or not at all.
func DidYouMean(word string, known []string) string {
	if name := nearest(strings.ToLower(word), known); name != "" {
		return "; did you mean " + strconv.Quote(name) + "?"
	}
	return ""
}
