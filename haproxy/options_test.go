package haproxy

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
)

func decodeOptions(t *testing.T, text string, into any) string {
	t.Helper()
	node, err := config.Parse("c.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	node.Decode(into, &r)
	if err := r.Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestOptionsDefaults(t *testing.T) {
	var o Options
	if fault := decodeOptions(t, `{"config_file_path":"/c","reload_command":"true","socket_file_path":"/s"}`, &o); fault != "" {
		t.Fatal(fault)
	}
	want := Options{
		BindAddress: "localhost", DoWrites: true, ConfigFilePath: "/c", DoReloads: true, ReloadCommand: "true",
		DoSocket: true, SocketFilePath: []string{"/s"}, RestartInterval: config.Seconds(2 * time.Second),
		StateFileTTL: config.Seconds(24 * time.Hour), MaxServerID: 65535, HardStopAfter: config.Seconds(5 * time.Minute),
		CheckTimeout: config.Seconds(10 * time.Second), ReloadTimeout: config.Seconds(30 * time.Second),
	}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
}

func TestOptionsFaults(t *testing.T) {
	const rest = `,"do_writes":false,"do_reloads":false,"do_socket":false}`
	for text, want := range map[string]string{
		`{}`:                              "do_writes is on and needs config_file_path",
		`{"do_reloads":true}`:             "do_reloads is on and needs reload_command",
		`{"do_socket":true}`:              "do_socket is on and needs socket_file_path",
		`{"do_checks":true` + rest:        "do_checks is on and needs candidate_config_file_path",
		`{"server_order_seed":"x"` + rest: "want a whole number",
		`{"server_order_seed":1.5` + rest: "want a whole number",
		`{"server_order_seed":340282366920938463463374607431768211455` + rest: "",
		`{"max_server_id":0` + rest:                                                                               "want a positive number",
		`{"restart_jitter":-1` + rest:                                                                             "want 0 to 100",
		`{"supervise":true,"do_writes":false,"do_socket":false}`:                                                  "supervise is on and needs config_file_path",
		`{"supervise":true,"config_file_path":"/x/h.cfg"}`:                                                        "",
		`{"supervise":true,"config_file_path":"/x/h.cfg","global":[]}`:                                            "do_socket is on and needs socket_file_path",
		`{"supervise":true,"config_file_path":"/x/h.cfg","global":["daemon"]}`:                                    "global has no line such as: stats socket",
		`{"supervise":true,"config_file_path":"/x/h.cfg","global":["daemon","stats socket /x.sock level admin"]}`: "",
		`{"supervise":true,"config_file_path":"/x/` + strings.Repeat("y", 90) + `/h.cfg"}`:                        "takes at most 97",
		`{"supervise":true,"config_file_path":"/x/h.cfg","master_socket":"/x/a,b"}`:                               "no comma or space",
		`{"global":"daemon","extra_sections":{"listen a":"bind :1"}` + rest:                                       "",
	} {
		var o Options
		if got := decodeOptions(t, text, &o); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestServiceOptionsPort(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:            "",
		`{"port":null}`: "bind localhost",
		`{"port":null,"bind_address":"unix@/x mode 666"}`: "bind unix@/x mode 666",
		`{"port":80}`:               "bind localhost:80",
		`{"port":"80"}`:             "bind localhost:80",
		`{"port":"80-90,*:91 ssl"}`: "bind localhost:80-90,*:91 ssl",
		`{"port":80,"bind_options":"accept-proxy\n"}`: "bind localhost:80 accept-proxy",
	} {
		var o ServiceOptions
		if fault := decodeOptions(t, text, &o); fault != "" {
			t.Errorf("%s: %s", text, fault)
			continue
		}
		l := newLayout(&Options{}, "web", &o, false)
		got := ""
		if len(l.frontend) > 0 {
			got = l.frontend[0]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{`{"port":"eighty"}`, `{"port":70000}`, `{"server_port_override":"x"}`, `{"server_backup_port":-1}`} {
		var o ServiceOptions
		if fault := decodeOptions(t, text, &o); !strings.Contains(fault, "want a port") {
			t.Errorf("%s: fault %q", text, fault)
		}
	}
}

// TestAirbnbSamples holds that the originals' samples are accepted, and by the
// real HAProxy too.
func TestAirbnbSamples(t *testing.T) {
	for _, name := range []string{"synapse.conf.json", "hostheader_test.json"} {
		data, err := os.ReadFile("testdata/samples/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// What is not there on a machine for tests.
		text := strings.NewReplacer("ssl no-sslv3 crt /path/to/cert/example.pem ciphers ECDHE-ECDSA-CHACHA20-POLY1305", "accept-proxy",
			`"use_backend cache if is_cache"`, `"use_backend service1 if is_cache"`).Replace(string(data))
		root, err := config.Parse(name, []byte(text), config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var r config.Report
		var o Options
		root.Get("haproxy").Decode(&o, &r)
		var specs []ServiceConfig
		s := snapshot()
		for _, e := range config.Services(root, &r, config.ReadOptions{}) {
			spec := ServiceConfig{Name: e.Key}
			e.Value.Get("haproxy").Decode(&spec.Options, &r)
			specs = append(specs, spec)
			s.Services = append(s.Services, svc(e.Key, at("localhost")))
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		m := NewComposer(o, specs, "host").Compose(s, testTime)
		if !strings.Contains(string(m.Preamble), "listen stats\n\tbind :3212\n") || warningsOf(m) != "" {
			t.Errorf("%s: %s", name, warningsOf(m))
		}
		check(t, m)
	}
}
