package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"smartstack/test/mutate"
)

// everyMethod is a configuration with every discovery method.
const everyMethod = `{
	"statsd": {"host": "h", "port": 8125, "sample_rate": {"m": 0.5}}, "state_directory": "s", "start_deadline": 5,
	"services": {
		"zookeeper": {"discovery": {"method": "zookeeper", "hosts": ["z:2181"], "path": "/a", "decode": {"method": "serverset", "endpoint_name": "http"},
			"generator_config_path": "disabled", "discovery_jitter": 5, "label_filters": [{"label": "a", "value": "b", "condition": "equals"}], "zk_acl": ["open"]},
			"default_servers": [{"name": "n", "host": "h", "port": 80, "weight": 3, "haproxy_server_options": "backup", "labels": {"a": "b"}, "id": 4}],
			"keep_default_servers": true, "backend_port_override": "80", "haproxy": {"port": "80", "bind_address": "*", "bind_options": "ssl",
			"frontend": ["mode http"], "listen": ["option httplog"], "server_options": "check", "backend_order": "asc", "shared_frontend": ["acl a path /"]}},
		"poll": {"discovery": {"method": "zookeeper_poll", "hosts": "z", "path": "/p", "polling_interval_sec": 30}},
		"zookeeper_dns": {"discovery": {"method": "zookeeper_dns", "hosts": "z", "path": "/p", "nameserver": "8.8.8.8", "check_interval": 30}},
		"dns": {"discovery": {"method": "dns", "servers": [{"host": "x", "port": 80}, "y:1"], "record": "a"}},
		"docker": {"discovery": {"method": "docker", "servers": [{"name": "n", "host": "h", "port": 4243}], "image_name": "x", "container_port": 80}},
		"ec2tag": {"discovery": {"method": "ec2tag", "tag_name": "t", "tag_value": "v"}, "haproxy": {"server_port_override": "80", "server_backup_port": "81"}},
		"marathon": {"discovery": {"method": "marathon", "marathon_api_url": "http://h", "application_name": "x", "port_index": 0}},
		"consul": {"discovery": {"method": "consul", "service": "x"}},
		"etcd": {"discovery": {"method": "etcd", "hosts": ["h"], "path": "/x"}},
		"file": {"discovery": {"method": "file", "path": "/x"}},
		"multi": {"discovery": {"method": "multi", "watchers": {"x": {"method": "base"}, "y": {"method": "base"}}, "resolver": {"method": "sequential", "sequential_order": ["x", "y"]}}},
		"toggle": {"discovery": {"method": "base"}, "discovery_multi": {"watchers": {"z": {"method": "base"}}, "resolver": {"method": "s3_toggle", "s3_url": "s3://b/k", "s3_polling_interval_seconds": 60}}}
	},
	"file_output": {"output_directory": "out"},
	"haproxy": {"global": ["maxconn 10"], "defaults": ["mode http"], "extra_sections": {"listen s :1": ["mode http"]}, "shared_frontend": ["bind *:80"],
		"config_file_path": "h.cfg", "reload_command": "true", "socket_file_path": ["a", "b"], "restart_jitter": 0.1, "server_order_seed": 5, "max_server_id": 9}
}`

// TestWrongValues puts wrong values everywhere: each fault has its place, and
// what is accepted has a watcher for each service.
func TestWrongValues(t *testing.T) {
	t.Chdir(t.TempDir())
	accepted := 0
	mutate.Each(t, everyMethod, func(what, text string) {
		if err := os.WriteFile("s.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := read("s.json", false)
		if err == nil {
			accepted++
			for _, d := range p.definitions {
				if d.Source.Watcher == nil {
					t.Errorf("%s: accepted, but %s has no watcher", what, d.Name)
				}
			}
			p.lineWarnings()
			return
		}
		for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
			if !strings.HasPrefix(line, "s.json:1:") {
				t.Errorf("%s: a fault without a place: %s", what, line)
			}
		}
	})
	if accepted < 100 {
		t.Errorf("%d are accepted: the configuration is wrong itself", accepted)
	}
}
