package watchers

import (
	"path/filepath"
	"testing"

	"smartstack/internal/config"
)

// Each method of the catalogue, and each way to combine sources, has a sample.
func TestEveryMethodHasASample(t *testing.T) {
	files, err := filepath.Glob("../configs/synapse*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	shown := map[string]bool{}
	for _, file := range files {
		root, err := config.Read(file, config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		methodsIn(root, shown)
	}
	for _, method := range append(Methods(), "union", "sequential", "prefer", "s3_toggle") {
		if !shown[method] {
			t.Errorf("no sample in configs/ shows the method %s", method)
		}
	}
	for _, key := range []string{"server_backup_port", "leader_election", "default_servers"} {
		if !shown[key] {
			t.Errorf("no sample in configs/ shows %s", key)
		}
	}
}

// methodsIn collects the methods that a section names, and its keys.
func methodsIn(n *config.Node, shown map[string]bool) {
	for _, key := range n.Keys() {
		shown[key] = true
		if key == "method" {
			shown[n.Get(key).Text()] = true
		}
	}
	if n.Kind() == config.Object || n.Kind() == config.List {
		for _, item := range n.Items() {
			methodsIn(item, shown)
		}
	}
}

// The samples build, with their discovery_multi, and without a warning.
func TestSamplesBuild(t *testing.T) {
	for _, file := range []string{"../configs/synapse-dns.json", "../configs/synapse-multi.json", "../configs/synapse-zookeeper.json"} {
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
