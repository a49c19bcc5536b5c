package cli

import (
	"runtime/debug"
	"slices"
	"testing"
)

func TestUnwritten(t *testing.T) {
	const maps = `00400000-00cbc000 r-xp 00000000 fe:00 9982865 /usr/bin/synapse
00cbc000-016e5000 r--p 008bc000 fe:00 9982865 /usr/bin/synapse
016e5000-0176f000 rw-p 012e5000 fe:00 9982865 /usr/bin/synapse
0176f000-017c9000 rw-p 00000000 00:00 0
7f0000000000-7f0000001000 r--p 00000000 fe:00 7 /usr/bin/synapse.old
xyz-7f0000001000 r--p 00000000 fe:00 7 /usr/bin/synapse
7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]
`
	want := []span{{0x400000, 0xcbc000}, {0xcbc000, 0x16e5000}}
	if got := unwritten(maps, "/usr/bin/synapse"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// The test goes on running in pages that it has given back, with the headroom
// of one that has started.
func TestGiveBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	unset := func(string) (string, bool) { return "", false }
	SpareMemory(unset)
	for range 3 {
		if err := GiveBack(unset); err != nil {
			t.Fatal(err)
		}
	}
	if got := debug.SetGCPercent(100); got != runningHeadroom {
		t.Errorf("the headroom is %d %%, want %d", got, runningHeadroom)
	}
}

// Whoever sets GOGC knows better.
func TestHeadroomIsTheUsers(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	set := func(string) (string, bool) { return "77", true }
	SpareMemory(set)
	if err := GiveBack(set); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetGCPercent(77); got != 77 {
		t.Errorf("the headroom is %d %%, want GOGC's 77", got)
	}
}
