package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/config"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServices(t *testing.T) {
	write(t, map[string]string{
		"n.json":          `{"services": {"z": {"port": 1}, "web": {"port": 2}, "a": {"port": 3}}, "service_conf_dir": "conf"}`,
		"conf/web.json":   `{"port": 4}`,
		"conf/new.yaml":   "port: 30x0\nport: 5\nhost: <%= ENV['X'] %>\n",
		"conf/b.json":     `{"port": 6}`,
		"conf/b.yaml":     `port: 7`,
		"conf/old.yml":    `port: 8`,
		"conf/a.json~":    `x`,
		"conf/.a.yaml":    `x`,
		"conf/README":     `x`,
		"conf/..data/x":   `x`,
		"conf/empty.json": ``,
		"conf/bad.json":   `{"port": }`,
		"conf/sub.json/x": ``,
	})
	n, err := config.Read("n.json", config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	var got []string
	for _, e := range config.Services(n, &r, testERB()) {
		got = append(got, e.Key+"="+string(e.Value.Canonical())+" "+e.Node.Pos()+" "+e.Value.Get("port").Path())
	}
	want := []string{
		`z={"port":1} n.json:1:20 services.z.port`,
		`web={"port":4} conf/web.json:1:1 services.web.port`,
		`a={"port":3} n.json:1:58 services.a.port`,
		`b={"port":6} conf/b.json:1:1 services.b.port`,
		`new={"port":5,"host":"x1"} conf/new.yaml:1:1 services.new.port`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantFaults := `conf/bad.json:1:10: want a value, got '}'
conf/empty.json:1:1: the file is empty
conf/sub.json: cannot read the file: is a directory`
	if diff := cmp.Diff(wantFaults, fmt.Sprint(r.Err())); diff != "" {
		t.Error(diff)
	}
	wantWarnings := `conf/.a.yaml: not read: the name of a service's file ends in .json or .yaml
conf/a.json~: not read: the name of a service's file ends in .json or .yaml
conf/b.yaml: not read: conf/b.json defines the same service
conf/new.yaml:2:1: services.new.port: written twice, first at conf/new.yaml:1:1; this one counts
conf/old.yml: not read: the name of a service's file ends in .json or .yaml
n.json:1:40: services.web: not used: conf/web.json defines the same service`
	if diff := cmp.Diff(wantWarnings, strings.Join(r.Warnings(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestServicesFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{}`, "<nil>"},
		{`services:`, "<nil>"},
		{`{"service_conf_dir": "nowhere"}`, `f:1:22: service_conf_dir: cannot read nowhere: cannot read the file: no such file or directory`},
		{`{"services": []}`, "f:1:14: services: want an object, got a list"},
		{`[]`, "f:1:1: want an object, got a list"},
	} {
		var r config.Report
		config.Services(parse(t, c.text), &r, config.ReadOptions{})
		if got := fmt.Sprint(r.Err()); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// TestOriginals reads the files that Airbnb and Clay.io publish.
func TestOriginals(t *testing.T) {
	count := map[string]int{
		"synapse.conf.json": 2, "discovery-multi.conf.json": 1, "hostheader_test.json": 1,
		"claydotio-example.synapse.conf.json": 1, "clay-ec2tag-golden.json": 1,
	}
	for file, want := range count {
		n, err := config.Read("testdata/airbnb/"+file, config.ReadOptions{ERB: true})
		if err != nil {
			t.Error(err)
			continue
		}
		var r config.Report
		if got := len(config.Services(n, &r, config.ReadOptions{ERB: true})); got != want || r.Err() != nil || len(r.Warnings()) > 0 {
			t.Errorf("%s: %d services, %v, %v", file, got, r.Err(), r.Warnings())
		}
	}
	t.Chdir("testdata/airbnb")
	data, err := os.ReadFile("svcdir_test.json")
	if err != nil {
		t.Fatal(err)
	}
	// The original is started from the directory above config/.
	data = []byte(strings.ReplaceAll(string(data), "config/synapse_services", "synapse_services"))
	n, err := config.Parse("svcdir_test.json", data, config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	list := config.Services(n, &r, config.ReadOptions{})
	if len(list) != 2 || list[0].Key != "service1" || list[1].Key != "service2" || r.Err() != nil {
		t.Errorf("%v, %v", list, r.Err())
	}
}

func TestReadFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := config.Read("none.json", config.ReadOptions{}); fmt.Sprint(err) != "none.json: cannot read the file: no such file or directory" {
		t.Error(err)
	}
}
