package blablacar

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
)

func translate(t *testing.T, text string) (*config.Node, *config.Report) {
	t.Helper()
	root, err := config.Parse("n.yml", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	return Translate(root, &r), &r
}

func TestTranslate(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{
			name: "the least there can be",
			text: "services:\n  - port: 80\n",
			want: `{"instance_id":"127.0.0.1:80","services":{"127.0.0.1:80":{
				"host":"127.0.0.1","port":80,"instance_id":"127.0.0.1:80","weight":"255",
				"warm_up":"24","start_timeout":"1","idle_timeout":"1","drain_wait":"3","drain_min":"3","drain_max":"60","shutdown_timeout":"30",
				"checks":[{"type":"tcp","timeout":"1","rise":"3","fall":"2"}],"check_interval":"1",
				"reporter_type":"console"}}}`,
		},
		{
			name: "all of a service",
			text: `
logLevel: debug
services:
  - name: shop
    host: 10.0.0.1
    port: 8080
    preferIpv4: true
    weight: 100
    reporterServiceName: shop-1
    reportReplayInMilli: 500
    haproxyServerOptions: backup
    labels: {host: a}
    excludeFromGlobalDisable: true
    NoMetrics: true
    enableWarmupIntervalInMilli: 500
    enableWarmupMaxDurationInMilli: 4000
    disableGracefullyDoneCommand: [/bin/idle]
    disableGracefullyDoneIntervalInMilli: 2000
    disableMinDurationInMilli: 90000
    disableMaxDurationInMilli: 10000
    disableShutdownCommand: [/bin/stop, now]
    disableShutdownMaxDurationInMilli: 5000
    setServiceAsDownOnShutdown: true
    checks:
      - {type: http, path: /health, timeoutInMilli: 250, rise: 1, fall: 4, checkIntervalInMilli: 500}
      - {type: https, host: 10.0.0.2, port: 8443, checkIntervalInMilli: 3000}
      - {type: exec, command: [/bin/true, -x]}
      - {type: amqp, username: u, password: p, vhost: v, queue: q}
      - {type: sql, request: select 2}
      - {type: sql, driver: postgres, username: u, port: 5432}
    reporters:
      - {type: zookeeper, hosts: ['z:1', 'z:2'], path: /s, exposeOnUnavailable: true, connectionTimeoutInMilli: 1, refreshIntervalInMilli: 2}
      - {type: console}
`,
			want: `{"instance_id":"shop","services":{"shop":{
				"host":"10.0.0.1","port":8080,"instance_id":"shop-1","weight":"100","haproxy_server_options":"backup","labels":{"host":"a"},
				"warm_up":"4","start_timeout":"1","idle_command":["/bin/idle"],"idle_timeout":"2","drain_wait":"10","drain_min":"10","drain_max":"10",
				"shutdown_command":["/bin/stop","now"],"shutdown_timeout":"5",
				"checks":[
					{"rise":"1","fall":"4","timeout":"0.25","uri":"/health","expected_codes":"100-499","open_timeout":"0.25","type":"http"},
					{"host":"10.0.0.2","port":8443,"rise":"3","fall":"2","timeout":"1","uri":"/","expected_codes":"100-499","open_timeout":"1","ssl":"true","ssl_timeout":"1","type":"http"},
					{"rise":"3","fall":"2","timeout":"1","command":["/bin/true","-x"],"type":"exec"},
					{"rise":"3","fall":"2","timeout":"1","username":"u","password":"p","vhost":"v","queue":"q","type":"rabbitmq"},
					{"port":"3306","rise":"3","fall":"2","timeout":"1","username":"root","query":"select 2","type":"mysql"},
					{"port":5432,"rise":"3","fall":"2","timeout":"1","username":"u","type":"postgres"}],
				"check_interval":"0.5",
				"reporters":[{"zk_hosts":["z:1","z:2"],"zk_path":"/s","expose_on_unavailable":true,"type":"zookeeper"},{"type":"console"}]}}}`,
		},
		{
			name: "rise, fall and interval of an older version",
			text: "services:\n  - {name: a, port: 80, rise: 10, fall: 3, checkIntervalInMilli: 400, checks: [{type: tcp}]}\n",
			want: `{"instance_id":"a","services":{"a":{
				"host":"127.0.0.1","port":80,"instance_id":"a","weight":"255",
				"warm_up":"24","start_timeout":"1","idle_timeout":"1","drain_wait":"3","drain_min":"3","drain_max":"60","shutdown_timeout":"30",
				"checks":[{"rise":"10","fall":"3","timeout":"1","type":"tcp"}],"check_interval":"0.4","reporter_type":"console"}}}`,
		},
		{"ours", "services: {a: {port: 80}}", `{"services":{"a":{"port":80}}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, r := translate(t, tc.text)
			if r.Err() != nil || len(r.Warnings()) > 0 {
				t.Errorf("%v %v", r.Err(), r.Warnings())
			}
			var got, want any
			if err := json.Unmarshal([]byte(n.Canonical()), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWhatHasNoCounterpart(t *testing.T) {
	for _, tc := range []struct{ text, fault, warning string }{
		{"services: [x]", "n.yml:1:12: services[0]: want an object, got text", ""},
		{"services: [{port: 1}, {port: 1}]", `two services are named "127.0.0.1:1"`, ""},
		{"services: [{port: 1, weight: heavy}]", `services[0].weight: want a whole number`, ""},
		{"services: [{port: 1, checks: [{type: kubernetes}]}]", `services[0].checks[0]: a check of type "kubernetes" has no counterpart, as nerve speaks to no API server`, ""},
		{"services: [{port: 1, checks: [{type: proxyhttp}]}]", `services[0].checks[0]: a check of type "proxyhttp" has no counterpart, as it judges a proxy`, ""},
		{"services: [{port: 1, checks: [{type: sys}]}]", `services[0].checks[0]: a check of type "sys" has no counterpart; exec can run one`, ""},
		{`services: [{port: "{{.PORT}}"}]`, "services[0].port: of Go templates only {{ .NAME }} is expanded", ""},
		{"services: [{port: 1, checks: [{type: sql, driver: oracle}]}]", `got "oracle"`, ""},
		{"services: [{port: 1, checks: [{type: sql, datasource: x}]}]", "datasource is a template", ""},
		{"services: [{port: 1, checks: [{type: amqp, datasource: x}]}]", "datasource is a template", ""},
		{"services: [{port: 1, reporters: [{type: file, path: /x}]}]", `services[0].reporters[0]: a reporter of type "file" has no counterpart`, ""},
		{"{apiPort: 1, services: [{port: 1}]}", "", "apiPort: has no counterpart"},
		{"services: [{port: 1, setServiceAsDownOnShutdown: false}]", "", "always withdraws"},
		{"services: [{port: 1, enableCheckStableCommand: [x]}]", "", "climbs without asking"},
		{"services: [{port: 1, preAvailableCommand: [x]}]", "", "becomes start_command"},
		{"services: [{port: 1, checks: [{type: tcp, wieght: 1}]}]", "", "services[0].checks[0].wieght: unknown option"},
	} {
		_, r := translate(t, tc.text)
		if err := r.Err(); (err == nil) != (tc.fault == "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: fault %v, want %q in it", tc.text, err, tc.fault)
		}
		if w := strings.Join(r.Warnings(), "\n"); tc.fault == "" && !strings.Contains(w, tc.warning) {
			t.Errorf("%s: warnings %q, want %q in them", tc.text, w, tc.warning)
		}
	}
}

// What names a variable is expanded; a file that is no YAML before its other
// templates are is explained.
func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.yml")
	env := map[string]string{"USER": "ann", "PORT": "80", "ALL": "services: [{port: 81}]", "EMPTY": ""}
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for text, want := range map[string]string{
		"services:\n  - port: 80\n    name: {{ .USER }}\n":     `{"services":[{"port":80,"name":"ann"}]}`,
		"services: [{port: {{.PORT}}, name: \"x{{ .USER}}\"}]": `{"services":[{"port":80,"name":"xann"}]}`,
		"{{ .ALL }}":                                      `{"services":[{"port":81}]}`,
		"services: [{name: \"{{.EMPTY}}\"}]":              `{"services":[{"name":""}]}`,
		"services: [{name: \"{{ if }}{{.USER}}{{\"}]":     `{"services":[{"name":"{{ if }}ann{{"}]}`,
		"services: [{name: \"{{ .OTHER }}\"}]":            `{"services":[{"name":"{{ .OTHER }}"}]}`,
		"services: {web: {host: \"{{.USER}}\"}}":          `{"services":{"web":{"host":"{{.USER}}"}}}`, // ours
		"services:\n  - port: {{.OTHER}}\n":               "!" + path + ":2: of Go templates only",
		"services:\n  - port: {{ if .PORT }}1{{ end }}\n": "!" + path + ":2: of Go templates only",
		"services: [\n":                                   "!",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := Read(path, getenv)
		fault, bad := strings.CutPrefix(want, "!")
		switch {
		case bad && (err == nil || !strings.Contains(err.Error(), fault) || fault == "" && strings.Contains(text, "{{") != strings.Contains(err.Error(), "templates")):
			t.Errorf("%q: %v", text, err)
		case !bad && err != nil:
			t.Errorf("%q: %v", text, err)
		case !bad && string(root.Canonical()) != want:
			t.Errorf("%q: %s, want %s", text, root.Canonical(), want)
		}
	}
	// Faults keep their places.
	if err := os.WriteFile(path, []byte("services:\n  - {name: \"{{ .USER }}\", port: x}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := Read(path, getenv)
	if err != nil {
		t.Fatal(err)
	}
	var o struct {
		Services []struct {
			Name string `cfg:"name"`
			Port int    `cfg:"port"`
		} `cfg:"services"`
	}
	var r config.Report
	root.Decode(&o, &r)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "n.yml:2:33: services[0].port") {
		t.Errorf("got %v", err)
	}
}

// FuzzTranslate: whatever stands in the file, it is translated or refused.
func FuzzTranslate(f *testing.F) {
	f.Add("services: [{port: 80, checks: [{type: http}], reporters: [{type: zookeeper, hosts: a, path: /}]}]")
	f.Add("services: [[], {checks: {}, reporters: 1, port: {}, labels: []}]")
	f.Fuzz(func(t *testing.T, text string) {
		root, err := config.Parse("n.yml", []byte(text), config.ReadOptions{})
		if err != nil {
			return
		}
		var r config.Report
		n := Translate(root, &r)
		_ = n.Canonical()
		_ = r.Err()
	})
}
