package haproxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Texts behave as a map that is copied whole, however many are changed and
// whatever is made from whichever.
func TestTextsAreCopies(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	type pair struct {
		texts texts
		want  map[string][]byte
	}
	first := pair{texts{most: map[string][]byte{}}, map[string][]byte{}}
	for i := range 40 {
		name := fmt.Sprint("s", i)
		first.texts.most[name], first.want[name] = []byte("0"), []byte("0")
	}
	all := []pair{first}
	for range 300 {
		from := all[random.IntN(len(all))]
		now := pair{from.texts.clone(), maps.Clone(from.want)}
		for range random.IntN(6) {
			name, text := fmt.Sprint("s", random.IntN(50)), fmt.Append(nil, random.Int())
			now.texts.set(name, text)
			now.want[name] = text
		}
		all = append(all, now)
	}
	for i, p := range all {
		if d := cmp.Diff(p.want, maps.Collect(p.texts.all())); d != "" || p.texts.count() != len(p.want) {
			t.Fatalf("the %dth, with %d of %d: %s", i, p.texts.count(), len(p.want), d)
		}
		for name := range p.want {
			if text, there := p.texts.of(name); !there || !sameText(text, p.want[name]) {
				t.Fatalf("the %dth: %s is %q, want %q", i, name, text, p.want[name])
			}
		}
	}
	if text, there := first.texts.of("none"); there {
		t.Errorf("there is %q", text)
	}
}
