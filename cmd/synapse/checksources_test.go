package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/zkconn"
	"smartstack/test/consulfake"
	"smartstack/test/ec2fake"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
)

// checked runs check-sources over a configuration with these services.
func checked(t *testing.T, services string, timeout time.Duration, call cli.Call) (code int, out, errs string) {
	t.Helper()
	dir := t.TempDir()
	call.Config = filepath.Join(dir, "synapse.json")
	text := fmt.Sprintf(`{"services": {%s}, "state_directory": %q, "file_output": {"output_directory": %q}}`, services, dir+"/state", dir+"/out")
	if err := os.WriteFile(call.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	call.Stdout, call.Stderr = &stdout, &stderr
	s := &checkSources{timeout: timeout}
	code, err := s.run(t.Context(), &call, config.ReadOptions{Getenv: env()})
	if err != nil {
		fmt.Fprintln(&stderr, err)
	}
	for _, made := range []string{"out", "state"} {
		if _, err := os.Stat(filepath.Join(dir, made)); err == nil {
			t.Errorf("check-sources made %s", made)
		}
	}
	return code, regexp.MustCompile(`\d+\.\d{3} s`).ReplaceAllString(stdout.String(), "T s"), stderr.String()
}

func TestCheckSourcesTellsWhatItFindsAndWhatNot(t *testing.T) {
	consul, marathon := consulfake.Start(t), marathonsim.Start(t)
	consul.Set("web",
		consulfake.Instance{Node: "n1", ID: "w1", Address: "10.0.0.1", Port: 80, Meta: map[string]string{"az": "a"}},
		consulfake.Instance{Node: "n2", ID: "w2", Address: "10.0.0.2", Port: 80, Meta: map[string]string{"az": "b"}},
		consulfake.Instance{Node: "n3", ID: "w3", Address: "10.0.0.3", Port: 80, Checks: map[string]string{"c": "critical"}})
	marathon.Set(marathonsim.App{ID: "/shop", Instances: 1, Tasks: []marathonsim.Task{{Host: "h1", Ports: []int{31000}}}})
	code, out, errs := checked(t, fmt.Sprintf(`
		"web": {"discovery": {"method": "consul", "hosts": %q, "service": "web", "label_filters": [{"label": "az", "value": "a"}]}, "server_backup_port": 81},
		"shop": {"discovery": {"method": "marathon", "marathon_api_url": %q, "application_name": "shop"}, "backend_port_override": 8080},
		"db": {"discovery": {"method": "base"}, "default_servers": [{"name": "db1", "host": "10.0.0.9", "port": 5432, "backup": true}]}`,
		consul.URL, marathon.URL), servers.Deadline, cli.Call{})
	want := `web: consul: 1 found, 1 filtered out, 1 left out in T s
  10.0.0.1:80 n1 weight 1
  filtered out: 10.0.0.2:80 n2 weight 1: its label az is "b" and must be "a"
  left out: n3/w3: its check "c" is critical
  note: each serves once more on port 81, as a backup
shop: marathon: 1 found in T s
  h1:8080 h1
db: base: 1 found in T s
  10.0.0.9:5432 db1 backup
3 sources: 3 found backends, 0 found none, 0 did not answer
`
	if d := cmp.Diff(want, out); d != "" || code != cli.ExitOK {
		t.Errorf("code %d, stderr %q\n%s", code, errs, d)
	}
}

func TestCheckSourcesTellsWhoIsSilentOrEmpty(t *testing.T) {
	consul, mute := consulfake.Start(t), consulfake.Start(t)
	mute.Instead(consulfake.Status(403, "ACL not found"))
	dir := t.TempDir()
	code, out, errs := checked(t, fmt.Sprintf(`
		"gone": {"discovery": {"method": "consul", "hosts": %q, "service": "web"}},
		"none": {"discovery": {"method": "consul", "hosts": %q, "service": "none"}, "default_servers": [{"host": "h", "port": 1}]},
		"both": {
			"discovery": {"method": "file", "path": %q, "label_filter": {"label": "a", "value": "b"}},
			"discovery_multi": {"watchers": {"old": {"method": "consul", "hosts": %q, "service": "none"}}, "resolver": {"method": "union"}}
		}`, mute.URL, consul.URL, dir, consul.URL), 2*time.Second, cli.Call{JSON: true})
	var got []finding
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if code != exitSources || len(got) != 4 {
		t.Fatalf("code %d: %s%s", code, out, errs)
	}
	if f := got[0]; f.Answered || !strings.Contains(f.Error, "ACL not found") || !strings.Contains(f.Error, "no answer within 2s") {
		t.Errorf("%+v", f)
	}
	if f := got[1]; !f.Answered || len(f.Backends) != 0 || len(f.Notes) != 1 || f.Seconds <= 0 {
		t.Errorf("%+v", f)
	}
	for i, name := range []string{"old", "primary"} {
		if f := got[2+i]; f.Service != "both" || f.Source != name || !f.Answered {
			t.Errorf("%+v", f)
		}
	}
	if !strings.Contains(out, `"backends": []`) {
		t.Errorf("no empty list: %s", out)
	}
}

// A task that does not serve is named with the reason, as is an app of which
// none can be used.
func TestCheckSourcesTellsWhyTasksDoNotServe(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(marathonsim.App{ID: "/web", Instances: 5, HealthChecks: 1, Tasks: []marathonsim.Task{
		{ID: "ok", Host: "h1", Ports: []int{1}, Alive: []bool{true}},
		{ID: "ill", Host: "h2", Ports: []int{2}, Alive: []bool{false}},
		{ID: "new", Host: "h3", Ports: []int{3}},
		{ID: "staging", Host: "h4", Ports: []int{4}, State: "TASK_STAGING"},
		{ID: "ports", Host: "h5", Alive: []bool{true}},
	}})
	sim.Set(marathonsim.App{ID: "/odd", Instances: 1, Tasks: []marathonsim.Task{{ID: "odd", Host: "h1", Ports: []int{1}}}})
	at := func(app, more string) string {
		return fmt.Sprintf(`{"discovery": {"method": "marathon", "marathon_api_url": %q, "application_name": %q%s}}`, sim.URL, app, more)
	}
	sim.InsteadOf("/closed", marathonsim.Status(403, `{"message": "closed"}`))
	code, out, errs := checked(t, `"web": `+at("web", "")+`, "odd": `+at("odd", `, "port_index": 7`)+`, "typo": `+at("wbe", "")+`, "closed": `+at("closed", ""), 3*time.Second, cli.Call{})
	for _, want := range []string{
		"web: marathon: 1 found, 4 left out",
		"left out: ill@h2:2: fails 1 of 1 health checks",
		"left out: new@h3:3: has no result of a health check yet, and was never seen alive",
		"left out: staging: is in the state TASK_STAGING",
		"left out: ports: has no port with index 0: it has 0",
		"none of the 1 tasks of /odd can be used: odd has no port with index 7",
		"there is no app /wbe in Marathon",
		`HTTP status 403: "closed"`,
	} {
		if strings.Count(out, want) != 1 {
			t.Errorf("want %q once", want)
		}
	}
	if code != exitSources || t.Failed() {
		t.Errorf("code %d\n%s%s", code, out, errs)
	}
}

// Each source of a multi has its own reason, and one that is still under way
// says so.
func TestCheckSourcesTellsEachReason(t *testing.T) {
	one, two, mute := consulfake.Start(t), consulfake.Start(t), ec2fake.Start(t)
	one.Instead(consulfake.Status(403, "first"))
	two.Instead(consulfake.Status(403, "second"))
	mute.Instead(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	consul := func(url string) string {
		return fmt.Sprintf(`{"method": "consul", "hosts": %q, "service": "web"}`, url)
	}
	_, out, errs := checked(t, fmt.Sprintf(`
		"both": {"discovery": {"method": "multi", "resolver": {"method": "union"}, "watchers": {"a": %s, "b": %s, "c": {"method": "file", "path": "/nowhere"}}}},
		"ec2": {"discovery": {"method": "ec2tag", "tag_name": "role", "tag_value": "web"}, "haproxy": {"server_port_override": 80}}`,
		consul(one.URL), consul(two.URL)), 2*time.Second, cli.Call{})
	for _, want := range []string{"first", "second", "/nowhere", "DescribeInstances"} {
		if strings.Count(out, want) != 1 {
			t.Errorf("want %q once:\n%s%s", want, out, errs)
		}
	}
}

// Sources within sources are filtered at each level, and one without backends
// of its own does not have the service's.
func TestCheckSourcesWithinSources(t *testing.T) {
	consul := consulfake.Start(t)
	at := func(node, az, tier string) consulfake.Instance {
		return consulfake.Instance{Node: node, ID: node, Address: "10.0.0." + node[1:], Port: 80, Meta: map[string]string{"az": az, "tier": tier}}
	}
	consul.Set("web", at("n1", "a", "x"), at("n2", "b", "x"), at("n3", "a", "y"))
	_, out, errs := checked(t, fmt.Sprintf(`"web": {
		"discovery": {"method": "multi", "resolver": {"method": "union"}, "watchers": {
			"inner": {"method": "multi", "resolver": {"method": "union"}, "label_filters": [{"label": "tier", "value": "x"}], "watchers": {
				"leaf": {"method": "consul", "hosts": %q, "service": "web", "label_filters": [{"label": "az", "value": "a"}]}}},
			"none": {"method": "base"}}},
		"default_servers": [{"host": "10.9.9.9", "port": 1}]}`, consul.URL), servers.Deadline, cli.Call{})
	for _, want := range []string{
		"web (inner.leaf): consul: 1 found, 2 filtered out",
		`filtered out: 10.0.0.2:80 n2 weight 1: its label az is "b" and must be "a"`,
		`filtered out: 10.0.0.3:80 n3 weight 1: its label tier is "y" and must be "x"`,
		"web (none): base: found nothing",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in:\n%s%s", want, out, errs)
		}
	}
}

func TestCheckSourcesOneServiceOnly(t *testing.T) {
	services := `"a": {"discovery": {"method": "base"}, "default_servers": [{"host": "h", "port": 1}]}, "b": {"discovery": {"method": "base"}}`
	if code, out, _ := checked(t, services, time.Second, cli.Call{Args: []string{"a"}}); code != cli.ExitOK || strings.Contains(out, "b:") {
		t.Errorf("code %d: %s", code, out)
	}
	if code, out, _ := checked(t, services, time.Second, cli.Call{}); code != exitSources || !strings.Contains(out, "b: base: found nothing") {
		t.Errorf("code %d: %s", code, out)
	}
	if code, _, errs := checked(t, services, time.Second, cli.Call{Args: []string{"c"}}); code != exitFault || !strings.Contains(errs, `no service "c"`) {
		t.Errorf("code %d: %s", code, errs)
	}
	if code, _, errs := checked(t, `"a": {"discovery": {"method": "consul"}}`, time.Second, cli.Call{}); code != exitFault || !strings.Contains(errs, "want the name of a service") {
		t.Errorf("code %d: %s", code, errs)
	}
}

// Asking must not make the path that a service lacks.
func TestCheckSourcesMakesNoPath(t *testing.T) {
	zk := servers.ZooKeeper(t)
	services := fmt.Sprintf(`"web": {"discovery": {"method": "zookeeper", "hosts": [%q], "path": "/services/web"}}`, zk.Addr)
	code, out, _ := checked(t, services, servers.Deadline, cli.Call{})
	if code != exitSources || !strings.Contains(out, "web: zookeeper: found nothing") {
		t.Errorf("code %d: %s", code, out)
	}
	conn, err := zkconn.NewPool(slog.New(slog.DiscardHandler)).Open(zkconn.Ensemble{Hosts: []string{zk.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	servers.Eventually(t, func() error {
		stat, err := conn.Exists(t.Context(), "/services")
		if err == nil && stat != nil {
			t.Error("check-sources made /services")
		}
		return err
	})
}

func TestShown(t *testing.T) {
	if got := shown("a\x1b[31m\nb\u009bü"); got != "a?[31m b?ü" {
		t.Errorf("%q", got)
	}
}
