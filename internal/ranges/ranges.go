// Package ranges reads lists of numbers such as "200-299, 404".
package ranges

import (
	"fmt"
	"strconv"
	"strings"
)

// Set is a set of numbers; the zero value is empty.
type Set []span

type span struct{ from, to int }

// Parse reads texts, each of which holds numbers and ranges with commas
// between them. All numbers must be from least to most.
func Parse(texts []string, least, most int) (Set, error) {
	var s Set
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			one, err := parseSpan(strings.TrimSpace(part), least, most)
			if err != nil {
				return nil, err
			}
			s = append(s, one)
		}
	}
	return s, nil
}

func parseSpan(text string, least, most int) (span, error) {
	from, to, isRange := strings.Cut(text, "-")
	a, err := strconv.Atoi(strings.TrimSpace(from))
	b := a
	if err == nil && isRange {
		b, err = strconv.Atoi(strings.TrimSpace(to))
	}
	if err != nil || a < least || b > most || a > b {
		return span{}, fmt.Errorf("want numbers from %d to %d and ranges such as %d-%d, got %q", least, most, least, least+1, text)
	}
	return span{a, b}, nil
}

// Has tells whether n is in s.
func (s Set) Has(n int) bool {
	for _, one := range s {
		if one.from <= n && n <= one.to {
			return true
		}
	}
	return false
}
