package watchers

import (
	"testing"

	"smartstack/internal/config"
)

// The samples build, with their discovery_multi, and without a warning.
func TestSamplesBuild(t *testing.T) {
	for _, file := range []string{"../configs/synapse-dns.json", "../configs/synapse-multi.json"} {
		root, err := config.Read(file, config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r := &config.Report{Strict: true}
		for _, s := range config.Services(root, r, config.ReadOptions{}) {
			discovery, multi := s.Value.Get("discovery"), s.Value.Get("discovery_multi")
			if multi.IsNull() {
				New(discovery, testDeps(), r)
			} else {
				Compose(discovery, multi, testDeps(), r)
			}
		}
		if err := r.Err(); err != nil {
			t.Error(err)
		}
	}
}
