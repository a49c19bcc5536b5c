package etcd

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
)

func TestOptionsAsWritten(t *testing.T) {
	ten := config.Seconds(10 * time.Second)
	for text, want := range map[string]Options{
		`{"etcd_host": "a"}`: {Hosts: []string{"a"}, Port: 2379, Path: "/", TTL: ten},
		`{"etcd_host": ["a", "b:1"], "etcd_port": "4003", "etcd_path": "services/web", "ttl": 3, "etcd_username": "u", "etcd_password": "p"}`: {
			Hosts: []string{"a", "b:1"}, Port: 4003, Path: "services/web", TTL: config.Seconds(3 * time.Second),
			Access: etcdconn.Access{Username: "u", Password: "p"},
		},
	} {
		root, err := config.Parse("nerve.json", []byte(text), config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got Options
		var report config.Report
		root.Decode(&got, &report)
		if err := report.Err(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
