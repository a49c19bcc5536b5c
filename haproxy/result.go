package haproxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Result is what a Sync did and what it could not do.
type Result struct {
	// Refusals says for each service why a reload is needed.
	Refusals map[string]string
	Reasons  []Reason // the same, one by one
	Left     []Remark
	Waiting  []Remark
	Steps    []Step // that were carried out
	Commands int
	Leaving  int    // servers out of rotation that are not deleted yet
	Met      []*Met // processes that were met for the first time
	Again    bool   // another call is due at once
	Took     time.Duration
}

// String sums a result up for the log.
func (res Result) String() string {
	counts := map[Verb]int{}
	for _, s := range res.Steps {
		counts[s.Verb]++
	}
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
	}
	return strings.Join(parts, ", ")
}
