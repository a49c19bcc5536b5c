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
	Kept     []Kept // of the first process
	Steps    []Step // that were carried out
	Commands int
	Leaving  int    // servers out of rotation that are not deleted yet
	Met      []*Met // processes that were met for the first time
	Again    bool   // another call is due at once
	Took     time.Duration
}

// The bounds of what a line of the log names.
const (
	maxToldSteps    = 8
	maxToldServices = 16
)

// steps names the servers and what was done to each, up to a readable number.
func (res Result) steps() string {
	var list []string
	for i, s := range res.Steps {
		if i == maxToldSteps {
			list = append(list, fmt.Sprintf("and %d more", len(res.Steps)-i))
			break
		}
		list = append(list, fmt.Sprintf("%s %s", s.Verb, s.Ref))
	}
	return strings.Join(list, ", ")
}

// services names those whose servers were changed.
func (res Result) services() string {
	there := map[string]bool{}
	for _, s := range res.Steps {
		there[s.Service] = true
	}
	return told(slices.Sorted(maps.Keys(there)))
}

// told joins names, up to a readable number.
func told(names []string) string {
	if more := len(names) - maxToldServices; more > 0 {
		names = append(slices.Clone(names[:maxToldServices]), fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
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
