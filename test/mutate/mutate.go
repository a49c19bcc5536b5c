// Package mutate makes wrong configurations of a right one, for tests of what a
// program says about them.
package mutate

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Each calls each with text, a JSON document, in which one value is replaced by
// something else: every value in turn, by several things. what names the place
// and the new value.
func Each(tb testing.TB, text string, each func(what, text string)) {
	tb.Helper()
	var root any
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		tb.Fatal(err)
	}
	walk(root, func(v any) { root = v }, "", func(what string) {
		changed, err := json.Marshal(root)
		if err != nil {
			tb.Fatal(err)
		}
		each(what, string(changed))
	})
}

// walk calls each with v replaced, and with everything in v replaced.
func walk(v any, put func(any), path string, each func(what string)) {
	for _, other := range []any{"", nil, -1, 1e30, "x y", []any{}, []any{nil}, map[string]any{}} {
		put(other)
		each(fmt.Sprintf("%s = %#v", path, other))
	}
	put(v)
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			walk(value, func(other any) { v[key] = other }, path+"."+key, each)
		}
	case []any:
		for i, value := range v {
			walk(value, func(other any) { v[i] = other }, fmt.Sprintf("%s[%d]", path, i), each)
		}
	}
}
