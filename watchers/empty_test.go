package watchers

import (
	"strings"
	"testing"

	"smartstack/internal/config"
)

// TestEmptyTextIsNoOption: what a template left empty is said, and no watcher
// is made that would follow the whole registry.
func TestEmptyTextIsNoOption(t *testing.T) {
	for text, want := range map[string]string{
		`{"method": ""}`: `method: unknown method ""`,
		`{"method": "etcd", "hosts": ["h"], "path": ""}`:      "path: is empty; for all of the cluster say /",
		`{"method": "etcd", "hosts": ["h"], "path": " "}`:     "path: is empty",
		`{"method": "zookeeper", "hosts": ["h"], "path": ""}`: "path: path is empty",
		`{"method": "file", "path": ""}`:                      "path: is empty",
	} {
		var r config.Report
		if w := New(parse(t, text), testDeps(), &r); w != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), want) {
			t.Errorf("%s: got %v, want %s", text, r.Err(), want)
		}
	}
}
