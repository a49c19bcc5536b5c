package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/haproxy"
	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
	"smartstack/internal/zkconn"
	"smartstack/watchers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// read reads a configuration as the program does.
func read(path string, strict bool) (*plan, error) {
	log := slog.New(slog.DiscardHandler)
	o := config.ReadOptions{ERB: true, Getenv: env("PORT", "8080"), Hostname: func() (string, error) { return "host1", nil }}
	return readPlan(path, o, strict, watchers.Deps{
		Log: log, ZK: zkconn.NewPool(log), Etcd: etcdconn.NewPool(log), EC2: ec2poll.NewPool(log), Toggles: watchers.NewToggles(log, nil),
	})
}

func TestPublishedFilesLoad(t *testing.T) {
	t.Chdir("testdata/airbnb")
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) != 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		p, err := read(f, true)
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if len(p.definitions) == 0 || len(p.services) != len(p.definitions) {
			t.Errorf("%s: %d services, %d in haproxy", f, len(p.definitions), len(p.services))
		}
	}
}

func TestPolicyFromClaysFile(t *testing.T) {
	p, err := read("testdata/airbnb/claydotio-example.synapse.conf.json", true)
	if err != nil {
		t.Fatal(err)
	}
	want := synapse.Policy{PortOverride: 50001, BackupPort: 50002, RemovalGuard: true}
	if d := cmp.Diff(want, p.definitions[0].Policy); d != "" {
		t.Error(d)
	}
}

// parse writes text into a file and reads it.
func parse(t *testing.T, text string, strict bool) (*plan, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("s.json", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return read("s.json", strict)
}

const output = `"file_output": {"output_directory": "out"}`

func TestEveryServiceOption(t *testing.T) {
	p, err := parse(t, `{"services": {"web": {
		"discovery": {"method": "base", "label_filter": {"label": "a", "value": 1}, "label_filters": [{"label": "b", "value": "x", "condition": "not-equals"}]},
		"default_servers": {"name": "d", "host": "h", "port": "<%= ENV['PORT'] %>", "id": 1, "weight": 2, "haproxy_server_id": 3, "haproxy_server_options": "check", "backup": true, "labels": {"z": 1, "a": 2}},
		"keep_default_servers": "yes", "use_previous_backends": false, "leader_election": true,
		"backend_port_override": "81", "server_backup_port": 82, "removal_guard": "off", "load_test_concurrency": 2
	}}, `+output+`}`, true)
	if err != nil {
		t.Fatal(err)
	}
	want := synapse.Policy{
		DefaultServers: []service.Backend{{
			Name: "d", Host: "h", Port: 8080, ID: service.KnownInt(1), Weight: service.KnownInt(2), ServerID: 3,
			ServerOptions: "check", Backup: true, Labels: `{"z":1,"a":2}`,
		}},
		KeepDefaults: true, DropPrevious: true, LeaderElection: true, PortOverride: 81, BackupPort: 82,
		LabelFilters: []service.LabelFilter{{Label: "a", Value: "1"}, {Label: "b", Value: "x", Not: true}},
	}
	if len(p.definitions) != 2 || p.definitions[0].Name != "web_0" || p.definitions[1].Name != "web_1" {
		t.Fatalf("definitions: %+v", p.definitions)
	}
	if d := cmp.Diff(want, p.definitions[1].Policy); d != "" {
		t.Error(d)
	}
}

func TestFaultsNameThePlaceAndTheWish(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"no output", `{"services": {}}`, "s.json:1:1: no output: want a section haproxy, file_output or both"},
		{"an empty directory", `{"services": {}, "file_output": {"output_directory": ""}}`, "s.json:1:54: file_output.output_directory: is empty; want a directory"},
		{"unknown method", `{"services": {"a": {"discovery": {"method": "zokeeper"}}}, ` + output + `}`, `services.a.discovery.method: unknown method "zokeeper", want one of base, `},
		{"no discovery", `{"services": {"a": {}}, ` + output + `}`, "services.a"},
		{"bad override", `{"services": {"a": {"discovery": {"method": "base"}, "backend_port_override": "x"}}, ` + output + `}`, `services.a.backend_port_override: want a port from 1 to 65535, got "x"`},
		{"bad default server", `{"services": {"a": {"discovery": {"method": "base"}, "default_servers": [{"host": "h h", "port": 1}]}}, ` + output + `}`, `services.a.default_servers[0].host: host "h h" holds a space`},
		{"default server without a port", `{"services": {"a": {"discovery": {"method": "base"}, "default_servers": {"host": "h"}}}, ` + output + `}`, `services.a.default_servers: "port" is required`},
		{"bad port of a default server", `{"services": {"a": {"discovery": {"method": "base"}, "default_servers": {"host": "h", "port": 0}}}, ` + output + `}`, `services.a.default_servers.port: port 0 is not between`},
		{"bad condition", `{"services": {"a": {"discovery": {"method": "base", "label_filters": [{"label": "l", "value": "v", "condition": "like"}]}}}, ` + output + `}`, `want the condition equals or not-equals, got "like"`},
		{"two services, one backend", `{"services": {"a": {"discovery": {"method": "base"}, "haproxy": {"backend_name": "x"}}, "b": {"discovery": {"method": "base"}, "haproxy": {"backend_name": "x"}}}, "haproxy": {"config_file_path": "h.cfg", "do_reloads": false, "do_socket": false}}`, `services.b.haproxy: backend x: service "a" has this name already`},
		{"a service by the name of a backend", `{"services": {"a": {"discovery": {"method": "base"}, "haproxy": {"backend_name": "b"}}, "b": {"discovery": {"method": "base"}}}, "haproxy": {"config_file_path": "h.cfg", "do_reloads": false, "do_socket": false}}`, `s.json:1:94: services.b: backend b: service "a" has this name already`},
		{"do_reloads alone", `{"services": {}, "haproxy": {"config_file_path": "h.cfg", "do_socket": false}}`, "do_reloads is on and needs reload_command"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.text, false)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestFaultsHideNoOthers: one fault keeps no other one of the same service, and
// of the same section, from being looked at; and each has a place.
func TestFaultsHideNoOthers(t *testing.T) {
	_, err := parse(t, `{"services": {
		"a": {"haproxy": {"port": "80x"}, "backend_port_override": "x"},
		"b": {"discovery": {"method": "zookeper"}, "haproxy": {"port": 99999}},
		"c": {"discovery": {"method": "zookeeper", "hosts": [], "watch_data": "some", "label_filters": {"label": "l", "value": "v", "condition": "like"}}}
	}, "haproxy": {"restart_interval": -2, "server_order_seed": "abc", "config_file_path": "h.cfg"}}`, false)
	want := []string{
		`s.json:2:8: services.a: "discovery" is required: Where the backends come from: a method and its options.`,
		`s.json:2:29: services.a.haproxy.port: want a port between 1 and 65535, got "80x"`,
		`s.json:2:62: services.a.backend_port_override: want a port from 1 to 65535, got "x"`,
		`s.json:3:33: services.b.discovery.method: unknown method "zookeper", want one of ` + strings.Join(watchers.Methods(), ", ") + `; did you mean "zookeeper"?`,
		`s.json:3:66: services.b.haproxy.port: want a port between 1 and 65535, got "99999"`,
		`s.json:4:22: services.c.discovery: "path" is required: The node whose children are the backends.`,
		`s.json:4:22: services.c.discovery: label filter on "l": want the condition equals or not-equals, got "like"`,
		`s.json:4:55: services.c.discovery.hosts: no ZooKeeper hosts`,
		`s.json:4:73: services.c.discovery.watch_data: unknown word "some", want auto, all or none`,
		`s.json:5:16: haproxy: do_reloads is on and needs reload_command`,
		`s.json:5:16: haproxy: do_socket is on and needs socket_file_path`,
		`s.json:5:37: haproxy.restart_interval: want 0 or more seconds, got -2`,
		`s.json:5:62: haproxy.server_order_seed: want a whole number, got "abc"`,
	}
	if d := cmp.Diff(strings.Join(want, "\n"), fmt.Sprint(err)); d != "" {
		t.Error(d)
	}
}

func TestServicesOnOnePortWarn(t *testing.T) {
	p, err := parse(t, `{"services": {
		"a": {"discovery": {"method": "base"}, "haproxy": {"port": 3000}},
		"b": {"discovery": {"method": "base"}, "haproxy": {"port": "3000", "bind_address": "127.0.0.1"}},
		"c": {"discovery": {"method": "base"}, "haproxy": {"port": 3000, "disabled": true}},
		"d": {"discovery": {"method": "base"}, "haproxy": {"port": "3000"}}
	}, "haproxy": {"config_file_path": "h.cfg", "do_reloads": false, "do_socket": false}}`, false)
	const want = `s.json:5:62: services.d.haproxy.port: service "a" listens on localhost:3000 too: HAProxy gives each of them a part of the connections`
	if err != nil || len(p.warnings) != 1 || p.warnings[0] != want {
		t.Errorf("got %q, %v", p.warnings, err)
	}
}

func TestLinesThatAreNotWrittenAsTheyStand(t *testing.T) {
	p, err := parse(t, `{"services": {"a": {"discovery": {"method": "base"}, "haproxy": {"port": 1,
		"listen": ["mode http", "reqirep ^X y", "bogus"], "backend": "monitor-uri /x", "shared_frontend": ["acl a path /"]}}},
		"haproxy": {"config_file_path": "h.cfg", "do_reloads": false, "do_socket": false, "defaults": ["mode http", "option http-tunnel"], "extra_sections": {"listen x": ["grace 5"]}}}`, true)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`s.json:2:27: services.a.haproxy.listen[1]: line "reqirep ^X y" is refused by HAProxy since 2.1, or longer: write http-request replace-header or replace-path in its place`,
		`s.json:2:43: services.a.haproxy.listen[2]: line "bogus" is neither for a frontend nor for a backend, left out`,
		`s.json:2:64: services.a.haproxy.backend: line "monitor-uri /x" is not for a backend, left out`,
		`s.json:2:101: services.a.haproxy.shared_frontend: is left out, because the top-level haproxy section has no shared_frontend`,
		`s.json:3:111: haproxy.defaults[1]: line "option http-tunnel" means nothing to HAProxy any more, which refuses it: left out`,
		`s.json:3:166: haproxy.extra_sections["listen x"][0]: line "grace 5" means nothing to HAProxy any more, which refuses it: left out`,
	}, "\n")
	if d := cmp.Diff(want, strings.Join(p.lineWarnings(), "\n")); d != "" {
		t.Error(d)
	}
}

func TestUnknownKeyWarnsAndStrictRefuses(t *testing.T) {
	text := `{"servces": {}, "services": {}, ` + output + `}`
	p, err := parse(t, text, false)
	if err != nil || len(p.warnings) != 1 || !strings.Contains(p.warnings[0], `did you mean "services"?`) {
		t.Errorf("warnings %q, error %v", p.warnings, err)
	}
	if _, err := parse(t, text, true); err == nil {
		t.Error("strict took it")
	}
}

func TestArguments(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("s.json", []byte(`{"services": {}, `+output+`}`), 0o644); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name     string
		args     []string
		env      []string
		code     int
		out, err string
	}{
		{"help", []string{"--help"}, nil, 0, "Usage: synapse", ""},
		{"version", []string{"--version"}, nil, 0, "synapse dev", ""},
		{"check", []string{"-k", "-c", "s.json"}, nil, 0, "s.json is usable: 0 services", ""},
		{"check by environment", []string{"--check-config"}, []string{"SYNAPSE_CONFIG", "s.json"}, 0, "is usable", ""},
		{"missing file", []string{"-k", "--config=none.json"}, nil, 1, "", "none.json"},
		{"no file", nil, nil, 2, "", "give -c FILE or set SYNAPSE_CONFIG"},
		{"unknown flag", []string{"--what"}, nil, 2, "", "-what"},
		{"stray argument", []string{"-c", "s.json", "x"}, nil, 2, "", `unexpected argument "x"`},
		{"bad log format", []string{"-c", "s.json", "--log-format", "xml"}, nil, 2, "", "xml"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(context.Background(), c.args, env(c.env...), &out, &errs)
			if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
				t.Errorf("code %d, want %d; stdout %q; stderr %q", code, c.code, out.String(), errs.String())
			}
		})
	}
}

func TestRunWritesAndEnds(t *testing.T) {
	t.Chdir(t.TempDir())
	text := `{"services": {"web": {"discovery": {"method": "base"}, "default_servers": [{"host": "h", "port": 1}]}}, ` + output + `}`
	if err := os.WriteFile("s.json", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"-c", "s.json"}, env(), &bytes.Buffer{}, &errs) }()
	for {
		if data, err := os.ReadFile("out/web.json"); err == nil && strings.Contains(string(data), `"host":"h"`) {
			break
		}
		select {
		case code := <-done:
			t.Fatalf("ended with %d: %s", code, errs.String())
		default:
		}
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("code %d: %s", code, errs.String())
	}
}

// What belongs to a running HAProxy cannot change under it.
func TestSuperviseCannotChangeAtHup(t *testing.T) {
	options := func(text string) *haproxy.Options {
		t.Helper()
		n, err := config.Parse("c.json", []byte(text), config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var o haproxy.Options
		var r config.Report
		if n.Decode(&o, &r); r.Err() != nil {
			t.Fatal(r.Err())
		}
		return &o
	}
	s, err := supervise(options(`{"config_file_path":"/c/h.cfg","supervise":true}`), nil, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for text, fine := range map[string]bool{
		`{"config_file_path":"/c/h.cfg","supervise":true}`:                                                   true,
		`{"config_file_path":"/c/h.cfg","supervise":true,"restart_interval":9}`:                              true,
		`{"config_file_path":"/c/h.cfg","supervise":true,"master_socket":"/c/.synapse/haproxy/master.sock"}`: true,
		`{"config_file_path":"/c/h.cfg","supervise":true,"master_socket":"/m"}`:                              false,
		`{"config_file_path":"/c/x.cfg","supervise":true}`:                                                   false,
		`{"config_file_path":"/c/h.cfg","supervise":true,"hard_stop_after":1}`:                               false,
		`{"config_file_path":"/c/h.cfg","supervise":true,"stop_haproxy_on_exit":true}`:                       false,
		`{"config_file_path":"/c/h.cfg","supervise":true,"haproxy_path":"/opt/haproxy"}`:                     false,
		`{"config_file_path":"/c/h.cfg","reload_command":"true","socket_file_path":"/s"}`:                    false,
	} {
		if err := s.unchanged(options(text)); (err == nil) != fine {
			t.Errorf("%s: %v", text, err)
		}
	}
	var none *supervised
	none.start()
	if !none.stop() {
		t.Error("a HAProxy that is not ours was ended")
	}
	if none.unchanged(options(`{"config_file_path":"/c/h.cfg","supervise":true}`)) == nil {
		t.Error("supervise can be switched on at run time")
	}
}
