package etcdconn

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScope(t *testing.T) {
	for _, c := range []struct {
		path    string
		sharing Sharing
		want    scope
	}{
		{"/services/web", Shared, scope{root: "/services"}},
		{"/services/web", Alone, scope{root: "/services/web", self: true}},
		{"/a/b/c", Shared, scope{root: "/a/b"}},
		{"/web", Shared, scope{root: "/web", self: true}}, // never the root by accident
		{"/", Shared, scope{}},
		{"/", Alone, scope{}},
	} {
		if got := scopesOf(c.path, c.sharing)[0]; got != c.want {
			t.Errorf("scopesOf(%q, %v) = %+v, want %+v", c.path, c.sharing, got, c.want)
		}
	}
	web := scope{root: "/web", self: true}
	for key, want := range map[string]bool{"/web": true, "/web/1": true, "/web-2/1": false, "/web.x": false, "/we": false} {
		if web.holds(key) != want {
			t.Errorf("%v holds %q = %v", web, key, !want)
		}
	}
}

func TestRoute(t *testing.T) {
	m := &mirror{subs: map[string][]*Subscription{}}
	for _, path := range []string{"/", "/s/web", "/s/web-2", "/s/web/host"} {
		m.add(&Subscription{path: path})
	}
	for key, want := range map[string][]string{
		"/s/web":        {"/", "/s/web"},
		"/s/web/host/1": {"/", "/s/web", "/s/web/host"},
		"/s/web-2/1":    {"/", "/s/web-2"},
		"/s/db":         {"/"},
		"/":             {"/"},
		"odd":           nil,
	} {
		var got []string
		m.route(key, func(s *Subscription) { got = append(got, s.path) })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s goes to (-want +got):\n%s", key, diff)
		}
	}
}

func TestMerge(t *testing.T) {
	a, b := &KV{Key: "a"}, &KV{Key: "b"}
	for _, c := range []struct {
		name               string
		older, newer, want Batch
	}{
		{
			"changes add up",
			Batch{Changed: map[string]*KV{"a": a}, Rev: 1},
			Batch{Changed: map[string]*KV{"b": b}, Rev: 2},
			Batch{Changed: map[string]*KV{"a": a, "b": b}, Rev: 2},
		},
		{
			"gone stays said",
			Batch{Changed: map[string]*KV{"a": a}, Rev: 1},
			Batch{Changed: map[string]*KV{"a": nil}, Rev: 2},
			Batch{Changed: map[string]*KV{"a": nil}, Rev: 2},
		},
		{
			"gone from everything",
			Batch{Reset: true, Changed: map[string]*KV{"a": a, "b": b}},
			Batch{Changed: map[string]*KV{"a": nil}, Rev: 2},
			Batch{Reset: true, Changed: map[string]*KV{"b": b}, Rev: 2},
		},
		{
			"everything wins",
			Batch{Changed: map[string]*KV{"a": a}},
			Batch{Reset: true, Changed: map[string]*KV{}, Rev: 2, History: 1},
			Batch{Reset: true, Changed: map[string]*KV{}, Rev: 2, History: 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.older.Changed = maps.Clone(c.older.Changed)
			if diff := cmp.Diff(c.want, c.older.merge(c.newer)); diff != "" {
				t.Errorf("merged (-want +got):\n%s", diff)
			}
		})
	}
}
