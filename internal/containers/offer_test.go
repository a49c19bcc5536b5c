package containers

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
)

// load decodes a docker section.
func load(t testing.TB, text string) *Options {
	t.Helper()
	n, err := config.Parse("nerve.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	r := &config.Report{}
	n.Decode(&o, r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return &o
}

// container makes one that publishes ports, as "80" or "80=10.0.0.5".
func container(labels map[string]string, ports ...string) *dockerconn.Container {
	c := &dockerconn.Container{ID: "id1", Names: []string{"/box"}, State: "running", Labels: labels}
	for i, text := range ports {
		private, ip, _ := strings.Cut(text, "=")
		b := dockerconn.Binding{IP: ip, PublicPort: 32000 + i, Type: "tcp"}
		if ip == "" {
			b.IP = "0.0.0.0"
		}
		if ip == "none" {
			b.IP, b.PublicPort = "", 0
		}
		fmt.Sscan(private, &b.PrivatePort)
		c.Ports = append(c.Ports, b)
	}
	return c
}

func show(found []Offer, rejected []Rejection) string {
	var all []string
	for _, o := range found {
		all = append(all, fmt.Sprintf("%s %s:%d", o.Key(), o.Host, o.Port))
	}
	for _, r := range rejected {
		all = append(all, "! "+r.Reason)
	}
	return strings.Join(all, "; ")
}

type labels = map[string]string

func TestOffers(t *testing.T) {
	web := labels{"smartstack.service": "web"}
	for _, c := range []struct {
		name    string
		options string
		c       *dockerconn.Container
		env     []string
		want    string
	}{
		{"no label", `{}`, container(nil, "80"), nil, ""},
		{"one port", `{}`, container(web, "80"), nil, "web@box :32000"},
		{"one address", `{}`, container(web, "80=10.0.0.5"), nil, "web@box 10.0.0.5:32000"},
		{"both families", `{}`, container(web, "80=::", "80"), nil, "web@box :32001"},
		{"not published", `{}`, container(web, "80=none"), nil, "! offers no TCP port: publish one (docker run -p), or name one in smartstack.port"},
		{"named, not published", `{}`, container(labels{"smartstack.service": "web", "smartstack.port": "80"}, "80=none"), nil, "! does not publish its port 80: use docker run -p"},
		{"loopback", `{}`, container(web, "80=127.0.0.1"), nil, "! publishes its port 80 on the loopback only, where nobody else can call it"},
		{"two ports", `{}`, container(web, "80", "81"), nil, "! offers the ports [80 81]: name one in smartstack.port, or each in smartstack.80.service; ! offers the ports [80 81]: name one in smartstack.port, or each in smartstack.81.service"},
		{"two ports, one named", `{}`, container(labels{"smartstack.service": "web", "smartstack.port": "81"}, "80", "81"), nil, "web@box :32001"},
		{"each port", `{}`, container(labels{"smartstack.80.service": "web", "smartstack.81.service": "admin"}, "80", "81", "82"), nil, "web@box:80 :32000; admin@box:81 :32001"},
		{"another prefix", `{"label_prefix": "nerve"}`, container(labels{"nerve.service": "web", "smartstack.service": "no"}, "80"), nil, "web@box :32000"},
		{"ignored", `{}`, container(labels{"smartstack.service": "web", "smartstack.ignore": "true"}, "80"), nil, ""},
		{"evil name", `{}`, container(labels{"smartstack.service": "../x"}, "80"), nil, `! wants to be the service "../x": want letters, digits, dot, minus and underscore`},
		{"own address", `{"address": "container"}`, container(labels{"smartstack.service": "web", "smartstack.port": "80"}), nil, "! is in 0 networks: name the one to use in network"},

		{"registrator's label", `{}`, container(labels{"SERVICE_NAME": "web"}, "80"), nil, "web@box :32000"},
		{"registrator's environment", `{}`, container(nil, "80"), []string{"PATH=/bin", "SERVICE_NAME=web"}, "web@box :32000"},
		{"label before environment", `{}`, container(labels{"SERVICE_NAME": "db"}, "80"), []string{"SERVICE_NAME=web"}, "db@box :32000"},
		{"ours before registrator's", `{}`, container(labels{"SERVICE_NAME": "db", "smartstack.service": "web"}, "80"), nil, "web@box :32000"},
		{"registrator, many ports", `{}`, container(labels{"SERVICE_NAME": "web"}, "80", "443"), nil, "web-80@box:80 :32000; web-443@box:443 :32001"},
		{"registrator, by port", `{}`, container(labels{"SERVICE_80_NAME": "web", "SERVICE_443_NAME": "tls", "SERVICE_443_IGNORE": "yes"}, "80", "443"), nil, "web@box:80 :32000"},
		{"registrator, not wanted", `{"registrator": "no"}`, container(labels{"SERVICE_NAME": "web"}, "80"), nil, ""},
		{"registrator's ignore", `{}`, container(labels{"SERVICE_NAME": "web", "SERVICE_IGNORE": "1"}, "80"), nil, ""},
		{"registrator's script", `{}`, container(labels{"SERVICE_NAME": "web", "SERVICE_CHECK_SCRIPT": "curl"}, "80"), nil, "! asks for a check that nerve does not run for containers (SERVICE_CHECK_SCRIPT): use an http, tcp or grpc check"},
	} {
		got := show(load(t, c.options).offers(c.c, c.env))
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
	paused := container(web, "80")
	paused.State = "paused"
	if got := show(load(t, `{}`).offers(paused, nil)); got != "" {
		t.Errorf("paused: %s", got)
	}
	host := container(labels{"smartstack.service": "web", "smartstack.port": "8080"})
	host.HostConfig.NetworkMode = "host"
	if got := show(load(t, `{}`).offers(host, nil)); got != "web@box :8080" {
		t.Errorf("host's network: %s", got)
	}
}

// composed returns the service of the only offer, as JSON, or the fault.
func composed(t testing.TB, o *Options, c *dockerconn.Container) string {
	t.Helper()
	found, rejected := o.offers(c, nil)
	if len(found) != 1 {
		t.Fatal(show(found, rejected))
	}
	n, err := o.Compose(found[0], "i-1")
	if err != nil {
		return "! " + err.Error()
	}
	return string(n.Canonical())
}

func TestCompose(t *testing.T) {
	const defaults = `"defaults": {"zk_path": "/s/${service}", "labels": {"az": "${ec2:placement/availability-zone}", "box": "${container}"}, "checks": [{"type": "tcp"}]}`
	for _, c := range []struct {
		name, options string
		labels        labels
		want          string
	}{
		{
			"defaults alone", `{` + defaults + `}`, nil,
			`{"checks":[{"type":"tcp"}],"host":"auto","instance_id":"i-1_box","labels":{"az":"${ec2:placement/availability-zone}","box":"box"},"port":32000,"zk_path":"/s/web"}`,
		},
		{"nothing said", `{}`, nil, `{"host":"auto","instance_id":"i-1_box","port":32000}`},
		{
			"own options", `{` + defaults + `, "services": {"web": {"host": "10.0.0.1", "weight": 5, "checks": [], "labels": {}}}}`, nil,
			`{"checks":[],"host":"10.0.0.1","instance_id":"i-1_box","labels":{},"port":32000,"weight":5,"zk_path":"/s/web"}`,
		},
		{
			"labels", `{}`,
			labels{"smartstack.weight": "7", "smartstack.name": "me", "smartstack.label.track": "${HOME}", "smartstack.haproxy_server_options": "check", "smartstack.check_interval": "2s"},
			`{"check_interval":"2s","haproxy_server_options":"check","host":"auto","instance_id":"me","labels":{"track":"$${HOME}"},"port":32000,"weight":"7"}`,
		},
		{
			"a check", `{` + defaults + `}`,
			labels{"smartstack.check": "http", "smartstack.check.uri": "/health", "smartstack.check.rise": "2"},
			`{"checks":[{"rise":"2","type":"http","uri":"/health"}],"host":"auto","instance_id":"i-1_box","labels":{"az":"${ec2:placement/availability-zone}","box":"box"},"port":32000,"zk_path":"/s/web"}`,
		},
		{
			"a check in short words", `{}`,
			labels{"smartstack.check": "http", "smartstack.check.uri": "/health", "smartstack.check.codes": "200"},
			`{"checks":[{"expected_codes":"200","type":"http","uri":"/health"}],"host":"auto","instance_id":"i-1_box","port":32000}`,
		},
		{
			"a gRPC check", `{}`,
			labels{"smartstack.check": "grpc", "smartstack.check.service": "shop.Cart"},
			`{"checks":[{"grpc_service":"shop.Cart","type":"grpc"}],"host":"auto","instance_id":"i-1_box","port":32000}`,
		},
		{"what no check has", `{}`, labels{"smartstack.check": "http", "smartstack.check.method": "HEAD"}, "! a container cannot set method of its check"},
		{
			"registrator's check", `{}`,
			labels{"SERVICE_CHECK_HTTPS": "/ping", "SERVICE_CHECK_INTERVAL": "15s", "SERVICE_CHECK_TIMEOUT": "1s", "SERVICE_TAGS": "a,b", "SERVICE_REGION": "eu", "SERVICE_ID": "x1"},
			`{"check_interval":"15s","checks":[{"ssl":"true","timeout":"1s","type":"http","uri":"/ping"}],"host":"auto","instance_id":"x1","labels":{"region":"eu","tags":"a,b"},"port":32000}`,
		},
		{
			"a label in a path", `{"defaults": {"zk_path": "/${label:team}/s"}}`,
			labels{"smartstack.label.team": "core"},
			`{"host":"auto","instance_id":"i-1_box","labels":{"team":"core"},"port":32000,"zk_path":"/core/s"}`,
		},
		{"an evil label in a path", `{"defaults": {"zk_path": "/${label:team}/s"}}`, labels{"smartstack.label.team": "../x"}, "! the configuration uses its label team"},
		{"not listed", `{"listed_only": true, "services": {"db": {}}}`, nil, "! service web is not in docker.services"},
		{"a command", `{}`, labels{"smartstack.check": "exec"}, `! a container cannot choose the check "exec"`},
		{"a file", `{}`, labels{"smartstack.check": "http", "smartstack.check.ca_file": "/etc/shadow"}, "! a container cannot set ca_file of its check"},
		{"somebody else's port", `{}`, labels{"smartstack.check": "tcp", "smartstack.check.host": "10.0.0.9"}, "! a container cannot set host of its check"},
		{"half a check", `{}`, labels{"smartstack.check.uri": "/x"}, "! says how to check, but not with what"},
	} {
		all := labels{"smartstack.service": "web"}
		maps.Copy(all, c.labels)
		got := composed(t, load(t, c.options), container(all, "80"))
		if fault, ok := strings.CutPrefix(c.want, "! "); ok {
			if !strings.Contains(got, fault) {
				t.Errorf("%s: %s, want %s", c.name, got, fault)
			}
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestOptionsFaults(t *testing.T) {
	for text, want := range map[string]string{
		`{"server": "ftp://x"}`:                        "want unix:///path",
		`{"server": "unix://sock"}`:                    "want an absolute path",
		`{"address": "host"}`:                          "want published or container",
		`{"network": "front"}`:                         "with address container only",
		`{"label_prefix": ""}`:                         "label_prefix is empty",
		`{"defaults": []}`:                             "want an object",
		`{"services": {"web": 7}}`:                     "want an object",
		`{"server": "unix:///s", "ca_file": "ca.pem"}`: "a socket knows no TLS",
	} {
		n, err := config.Parse("n.json", []byte(text), config.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var o Options
		r := &config.Report{}
		n.Decode(&o, r)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Whatever labels say, no configuration of theirs begins a template, names a
// file or runs a command.
func FuzzLabels(f *testing.F) {
	f.Add("check", "http", "check.uri", "/x")
	f.Add("80.service", "x", "label.a", "${HOME}")
	f.Add("port", "80", "check.ca_file", "/etc/passwd")
	o := load(f, `{"defaults": {"zk_path": "/s/${service}/${label:a}", "checks": [{"type": "tcp"}]}}`)
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		c := container(labels{"smartstack.service": "web", "smartstack." + k1: v1, "smartstack." + k2: v2}, "80")
		found, _ := o.offers(c, []string{k1 + "=" + v1, "SERVICE_" + k2 + "=" + v2})
		for _, offer := range found {
			n, err := o.Compose(offer, "i")
			if err != nil {
				continue
			}
			var s struct {
				Path   string `json:"zk_path"`
				Labels map[string]string
				Checks []map[string]any
			}
			if err := json.Unmarshal([]byte(n.Canonical()), &s); err != nil {
				t.Fatal(err)
			}
			if strings.Count(s.Path, "/") != 3 || strings.Contains(s.Path, "$") || len(s.Checks) != 1 || s.Checks[0]["type"] == "exec" {
				t.Errorf("%s", n.Canonical())
			}
			for _, v := range s.Labels {
				if strings.Contains(strings.ReplaceAll(v, "$${", ""), "${") {
					t.Errorf("a label can be a template: %q", v)
				}
			}
		}
	})
}

func TestTrialsShowWhatIsWrong(t *testing.T) {
	o := load(t, `{"defaults": {"zk_path": "/s/${service}/${label:team}"}, "services": {"db": {"weight": 1}}}`)
	var all []string
	for _, trial := range o.Trials() {
		n, err := o.Compose(trial, "i")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(n.Canonical()))
	}
	want := []string{
		`{"host":"auto","instance_id":"i_container","port":80,"zk_path":"/s/service/label"}`,
		`{"host":"auto","instance_id":"i_container","port":80,"weight":1,"zk_path":"/s/db/label"}`,
	}
	if d := cmp.Diff(want, all); d != "" {
		t.Error(d)
	}
	if only := load(t, `{"listed_only": true}`).Trials(); len(only) != 0 {
		t.Errorf("%v", only)
	}
}
