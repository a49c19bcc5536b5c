package main

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"smartstack/internal/etcdconn"
	"smartstack/internal/zkconn"
	"smartstack/reporters"
	"smartstack/test/mutate"
)

// everyKind is a configuration with every check and every reporter.
const everyKind = `{
	"instance_id": "i", "max_down_at_once": "20%", "statsd": {"host": "h", "port": 8125},
	"docker": {"server": "unix:///x", "defaults": {"reporter_type": "console", "checks": [{"type": "tcp"}]}},
	"services": {
		"a": {"host": "127.0.0.1", "port": "80", "zk_hosts": ["z1:2181"], "zk_path": "/a", "use_path_encoding": true, "node_type": "persistent", "ttl_seconds": 60,
			"check_interval": "0.5", "rate_limiting": {"average_rate": 1, "max_burst": 2}, "weight": "5", "haproxy_server_options": "backup", "labels": {"a": "b"},
			"checks": [
				{"type": "http", "uri": "/h", "timeout": "0.2", "rise": "3", "fall": 2, "headers": {"Host": "x"}, "expect": "ok", "expected_codes": "200-299", "expect_regexp": "a"},
				{"type": "tcp", "port": "80"}, {"type": "redis"}, {"type": "rabbitmq", "username": "g"}, {"type": "noop"}, {"type": "base"},
				{"type": "all", "checks": [{"type": "tcp"}, {"type": "any", "checks": [{"type": "noop"}]}]},
				{"type": "exec", "command": ["a"], "env": {"A": "b"}}, {"type": "dns", "domain": "x"}, {"type": "grpc", "grpc_service": "x"},
				{"type": "mysql", "username": "x"}, {"type": "postgres", "username": "x"}]},
		"b": {"host": "h", "port": 1, "reporter_type": "etcd", "etcd_host": "e1", "etcd_port": 4001, "etcd_path": "/b"},
		"c": {"host": "h", "port": 1, "reporters": [{"type": "console"}, {"type": "file", "path": "/x", "refresh_interval": 5}],
			"warm_up": 3, "weight": 5, "drain_by": "weight", "drain_wait": 3, "start_command": ["x"], "flap_damping": {"enabled": true, "drops": 3, "calm": 5}}
	}
}`

// TestWrongValues puts wrong values everywhere: each fault has its place, and
// what is accepted has all its checks and reporters.
func TestWrongValues(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	deps := reporters.Deps{Stdout: io.Discard, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log)}
	t.Chdir(t.TempDir())
	accepted := 0
	mutate.Each(t, everyKind, func(what, text string) {
		if err := os.WriteFile("n.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readPlan("n.json", false, deps, log)
		if err == nil {
			accepted++
			for _, s := range p.config.Services {
				for _, c := range s.Checks {
					if c.Check == nil || c.Timeout <= 0 {
						t.Errorf("%s: accepted, but service %s has no check %q", what, s.Name, c.Name)
					}
				}
				for _, r := range s.Reporters {
					if r.Reporter == nil {
						t.Errorf("%s: accepted, but service %s has no reporter %s", what, s.Name, r.Name)
					}
				}
			}
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(line, "n.json:1:") {
				t.Errorf("%s: a fault without a place: %s", what, line)
			}
		}
	})
	if accepted < 100 {
		t.Errorf("%d are accepted: the configuration is wrong itself", accepted)
	}
}
