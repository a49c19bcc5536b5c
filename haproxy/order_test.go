package haproxy

import (
	"encoding/json"
	"math/big"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMersenneIsTheReference(t *testing.T) {
	// The first numbers of the reference implementation's mt19937ar.out.
	var m mersenne
	m.seedArray([]uint32{0x123, 0x234, 0x345, 0x456})
	for i, want := range []uint32{1067595299, 955945823, 477289528, 4107218783, 4228976476} {
		if got := m.uint32(); got != want {
			t.Errorf("number %d is %d, want %d", i, got, want)
		}
	}
}

func TestShuffleIsRubys(t *testing.T) {
	data, err := os.ReadFile("testdata/ruby/shuffle.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Seed  string
		Size  int
		Order []int
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		seed, ok := new(big.Int).SetString(c.Seed, 10)
		if !ok {
			t.Fatalf("seed %q", c.Seed)
		}
		names, want := make([]string, c.Size), make([]string, c.Size)
		for i := range names {
			names[i], want[i] = strconv.Itoa(i), strconv.Itoa(c.Order[i])
		}
		arrange(names, "", newMersenne(seed))
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("seed %.40s, %d names: -ruby +ours\n%s", c.Seed, c.Size, diff)
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
}

func TestArrange(t *testing.T) {
	for _, c := range []struct {
		order string
		want  []string
	}{
		{orderAscending, []string{"B", "a", "a10", "a9"}},
		{orderDescending, []string{"a9", "a10", "a", "B"}},
		{orderAsFound, []string{"a9", "B", "a10", "a"}},
	} {
		names := []string{"a9", "B", "a10", "a"}
		arrange(names, c.order, newMersenne(big.NewInt(1)))
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Errorf("%s: %s", c.order, diff)
		}
	}
	one, two := []string{"a", "b", "c", "d", "e"}, []string{"a", "b", "c", "d", "e"}
	arrange(one, "shuffle", newMersenne(hostSeed("web-1")))
	arrange(two, "", newMersenne(hostSeed("web-1")))
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error("the same host shuffles differently:", diff)
	}
	if hostSeed("web-1").Cmp(hostSeed("web-2")) == 0 {
		t.Error("two hosts have one seed")
	}
}
