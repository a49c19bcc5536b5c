package etcd

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/registration"
)

func TestOptionsAsWritten(t *testing.T) {
	for text, want := range map[string]Options{
		`{"hosts": ["a", "b:4003"], "path": "/services/web"}`: {Hosts: []string{"a", "b:4003"}, Path: "/services/web", Decode: registration.Options{Method: "auto"}, SharedWatch: true},
		`{hosts: a, path: /x, shared_watch: no, username: u, password_file: /run/p, ca_file: ca.pem}`: {
			Hosts: []string{"a"}, Path: "/x", Decode: registration.Options{Method: "auto"},
			Access: etcdconn.Access{Username: "u", PasswordFile: "/run/p", CAFile: "ca.pem"},
		},
	} {
		root, err := config.Parse("synapse.yaml", []byte(text), config.ReadOptions{})
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
