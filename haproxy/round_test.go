package haproxy

import (
	"fmt"
	"testing"
)

// Every section has its turn, and one that is not as it should be has it each
// time.
func TestRoundsCoverEverything(t *testing.T) {
	var all []*Section
	p := &process{services: map[string]*verdict{}}
	for i := range 3*manyBackends - 10 {
		s := &Section{Service: fmt.Sprint("s", i)}
		all = append(all, s)
		p.services[s.Service] = &verdict{section: s, settled: true}
	}
	changed, odd := all[5], all[2*manyBackends]
	p.services[odd.Service].settled = false
	seen := map[*Section]int{}
	for range 3 {
		list := p.nextRound(all, []*Section{changed})
		if len(list) > manyBackends+2 {
			t.Errorf("%d sections in one round", len(list))
		}
		for _, s := range list {
			seen[s]++
		}
	}
	for _, s := range all {
		if seen[s] == 0 {
			t.Errorf("%s was never looked at", s.Service)
		}
	}
	if seen[odd] != 3 || seen[changed] != 3 {
		t.Errorf("looked %d times at the odd one, %d times at the changed one, want 3", seen[odd], seen[changed])
	}
}
