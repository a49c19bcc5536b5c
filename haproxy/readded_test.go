package haproxy

import (
	"maps"
	"slices"
	"testing"
)

func TestReadded(t *testing.T) {
	for _, tc := range []struct{ was, now, want string }{
		{"", "abc", ""},
		{"abc", "abc", ""},
		{"abc", "abcd", ""},
		{"abc", "ac", ""},
		{"abc", "", ""},
		{"abc", "cd", ""},
		{"abc", "acb", "b"},
		{"abcd", "cdxab", "ab"},
		{"abcd", "cba", "ab"},
		{"abc", "acxb", "b"},
		{"ab", "ab", ""}, // the last one cannot be told
	} {
		letters := func(s string) (list []uint64) {
			for _, c := range s {
				list = append(list, uint64(c))
			}
			return list
		}
		got := ""
		for _, c := range slices.Sorted(maps.Keys(readded(letters(tc.was), letters(tc.now)))) {
			got += string(rune(c))
		}
		if got != tc.want {
			t.Errorf("%s, then %s: got %q, want %q", tc.was, tc.now, got, tc.want)
		}
	}
}

// A server that somebody has deleted and added again, with its own id but with
// other options, is replaced by the right one. What we replace ourselves is not.
func TestAServerAddedAgainByHandWithItsID(t *testing.T) {
	a, b, c := srv("a", "127.0.0.1:9", 1, "send-proxy"), srv("b", "127.0.0.1:9", 2, ""), srv("c", "127.0.0.1:9", 3, "")
	web := runSection("web", nil, a, b, c)
	r := newRig(t, nil, web)
	r.sync(web)
	for _, cmd := range []string{"disable server web/a", "del server web/a", "add server web/a 127.0.0.1:9 id 1", "enable server web/a"} {
		r.cli(cmd)
	}
	r.compareNow()
	if res := r.sync(web); res.String() != "1 replace" || res.Steps[0].Ref.Server != "a" {
		t.Fatalf("%v, want a replaced", res)
	}
	b = srv("b", "127.0.0.1:9", 2, "send-proxy")
	web = runSection("web", nil, a, b, c)
	if res := r.sync(web); res.String() != "1 replace" {
		t.Fatalf("%v, want b replaced", res)
	}
	for range 3 {
		r.compareNow()
		if res := r.sync(web); len(res.Steps)+len(res.Reasons) > 0 {
			t.Fatalf("%v %v, want nothing to do", res, res.Reasons)
		}
	}
	if got := r.rotation("web"); got != "a b c" {
		t.Errorf("in rotation: %s", got)
	}
}
