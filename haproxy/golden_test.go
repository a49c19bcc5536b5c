package haproxy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// testTime is the time of every test that needs one.
var testTime = time.Unix(1700000000, 0)

// goldenCase is one folder of testdata/golden.
type goldenCase struct {
	dir      string
	meta     struct{ Order, Generator string }
	options  Options
	services []ServiceConfig
	registry []*service.Service
	state    State
}

// serviceFile is what of a service the golden test needs.
type serviceFile struct {
	Discovery *config.Node   `cfg:"discovery"`
	HAProxy   ServiceOptions `cfg:"haproxy"`
	Rest      *config.Node   `cfg:",rest"`
}

func loadGolden(t *testing.T, dir string) *goldenCase {
	t.Helper()
	g := readCase(t, func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil
		}
		return data
	})
	g.dir = dir
	return g
}

// readCase makes a case of the files that a folder holds.
func readCase(t *testing.T, files func(name string) []byte) *goldenCase {
	t.Helper()
	scratch := t.TempDir()
	read := func(name string) []byte {
		return []byte(strings.NewReplacer("@ZK@", "127.0.0.1:2181", "@DIR@", scratch,
			`"@NOW@"`, strconv.FormatInt(testTime.Unix(), 10)).Replace(string(files(name))))
	}
	g := &goldenCase{}
	if err := json.Unmarshal(read("meta.json"), &g.meta); err != nil {
		t.Fatal(err)
	}
	root, err := config.Parse("synapse.conf.json", read("synapse.conf.json"), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	root.Get("haproxy").Decode(&g.options, &r)
	registry := readRegistry(t, read("backends.json"))
	for _, e := range config.Services(root, &r, config.ReadOptions{}) {
		var f serviceFile
		e.Value.Decode(&f, &r)
		g.services = append(g.services, ServiceConfig{Name: e.Key, Options: f.HAProxy, Raw: e.Value.Get("haproxy").Canonical()})
		g.registry = append(g.registry, &service.Service{
			Name: e.Key, Rev: 1, Origin: service.Discovered,
			Backends: registry.backends(t, f),
		})
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	g.state, _ = DecodeState(read("files/state.json"), testTime, time.Hour)
	return g
}

// goldenRegistry is backends.json.
type goldenRegistry struct {
	Znodes map[string]struct {
		Children []struct {
			Name string
			Data json.RawMessage
		}
	}
	EC2 []struct {
		Host  string `json:"private_ip_address"`
		Name  string `json:"private_dns_name"`
		Tags  map[string]string
		State string
	}
}

func readRegistry(t *testing.T, data []byte) goldenRegistry {
	t.Helper()
	var g goldenRegistry
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// backends stands in for the watcher and the hub.
func (g goldenRegistry) backends(t *testing.T, f serviceFile) service.Set {
	t.Helper()
	var b service.Builder
	if f.Discovery.Get("method").Text() == "ec2tag" {
		tag, value := f.Discovery.Get("tag_name").Text(), f.Discovery.Get("tag_value").Text()
		for _, i := range g.EC2 {
			if i.Tags[tag] != value || i.State == "stopped" {
				continue
			}
			for _, port := range []struct {
				port   string
				backup bool
			}{{f.HAProxy.ServerPortOverride, false}, {f.HAProxy.ServerBackupPort, true}} {
				n, _ := strconv.Atoi(port.port)
				b.Add(i.Name, service.Backend{Name: i.Name, Host: i.Host, Port: n, Backup: port.backup})
			}
		}
	}
	for _, child := range g.Znodes[f.Discovery.Get("path").Text()].Children {
		b.AddPayload(child.Name, child.Data, func(x *service.Backend) {
			tokens := strings.Split(strings.TrimRight(child.Name, "_"), "_")
			if id, err := strconv.ParseInt(tokens[len(tokens)-1], 10, 64); err == nil {
				x.ID = service.KnownInt(id)
			}
		})
	}
	u := b.Update()
	if u.RejectedTotal > 0 {
		t.Fatalf("rejected: %v", u.Rejected)
	}
	return u.Backends
}

func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/golden/*/meta.json")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no golden cases", err)
	}
	for _, meta := range dirs {
		dir := filepath.Dir(meta)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			testGolden(t, loadGolden(t, dir))
		})
	}
}

// compose is what synapse makes of the case at its start.
func (g *goldenCase) compose() Model {
	c := NewComposer(g.options, g.services, "golden")
	c.Recall(nil, g.state)
	return c.Compose(service.Snapshot{Rev: 1, Services: g.registry}, testTime)
}

func testGolden(t *testing.T, g *goldenCase) {
	text := g.compose().Render()
	expected, err := os.ReadFile(filepath.Join(g.dir, "expected.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	ordered := g.meta.Order == "asc" || g.meta.Order == "desc" || g.options.ServerOrderSeed != ""
	want, got := g.comparable(string(expected), ordered), g.comparable(string(text), ordered)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("-original +ours\n%s", diff)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		t.Error("no final line feed")
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	servers.CheckHAProxy(t, file)
}

var (
	ownID     = regexp.MustCompile(`^(\tserver \S+ \S+) id (\d+)`)
	anyID     = regexp.MustCompile(` id \d+`)
	oldTitle  = regexp.MustCompile(`^listen (\S+) (:\d+)$`)
	forkNames = regexp.MustCompile(`\S+:\d+_\S+`)
	ourNames  = regexp.MustCompile(`(\S+)_(\d+\.\d+\.\d+\.\d+:\d+)\b`)
)

// comparable brings a file into the form in which the golden README wants them
// compared: without comments and blank lines, own ids taken out of their lines
// and counted per backend, servers sorted where their order is not fixed.
func (g *goldenCase) comparable(text string, ordered bool) []string {
	var out, block, ids []string
	flush := func() {
		if !ordered {
			slices.SortStableFunc(block, cmp.Compare[string])
		}
		slices.Sort(ids)
		out = append(append(out, block...), ids...)
		block, ids = nil, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		line = strings.NewReplacer("@DIR@", filepath.Dir(g.options.ConfigFilePath)).Replace(line)
		if !strings.HasPrefix(line, "\tserver ") {
			flush()
			if m := oldTitle.FindStringSubmatch(line); m != nil {
				out = append(out, "listen "+m[1], "\tbind "+m[2])
				continue
			}
			out = append(out, line)
			continue
		}
		if g.meta.Generator == "claydotio" { // names and ids are of another kind there
			line = anyID.ReplaceAllString(line, "")
			line = ourNames.ReplaceAllString(forkNames.ReplaceAllString(line, "NAME"), "NAME")
		} else if m := ownID.FindStringSubmatch(line); m != nil {
			line = strings.Replace(line, m[0], m[1]+" id", 1)
			ids = append(ids, "id "+m[2])
		}
		block = append(block, line)
	}
	flush()
	return out
}
