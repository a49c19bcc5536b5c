package fileout

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

var discard = slog.New(slog.DiscardHandler)

func svc(name string, backends ...service.Backend) *service.Service {
	return &service.Service{Name: name, Backends: service.SetOf(backends...), Origin: service.Discovered}
}

func apply(t *testing.T, o *Output, services ...*service.Service) {
	t.Helper()
	if _, err := o.Apply(context.Background(), service.Snapshot{Services: services}); err != nil {
		t.Fatal(err)
	}
}

// files returns the directory's visible files and their content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			all[e.Name()] = string(data)
		}
	}
	return all
}

func TestFilesHaveTheOriginalsBytes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	o := New(Options{OutputDirectory: dir}, map[string]bool{"hidden": true}, discard)
	full := service.Backend{Name: "w<1>", Host: "10.0.0.1", Port: 80, ID: service.KnownInt(3), Weight: service.KnownInt(7), ServerOptions: "backup", Labels: `{"z":1,"a":"2"}`}
	apply(t, o, svc("web", full, service.Backend{Host: "h", Port: 1}), svc("none"), svc("hidden", full), svc("a/../b"))
	want := map[string]string{
		"web.json":        `[{"name":"w<1>","host":"10.0.0.1","port":80,"id":3,"weight":7,"haproxy_server_options":"backup","labels":{"z":1,"a":"2"}},{"name":null,"host":"h","port":1,"id":null,"weight":null,"haproxy_server_options":null,"labels":null}]`,
		"none.json":       `[]`,
		"a%2F..%2Fb.json": `[]`,
	}
	if d := cmp.Diff(want, files(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestOnlyChangedFilesAreWritten(t *testing.T) {
	dir := t.TempDir()
	o := New(Options{OutputDirectory: dir}, nil, discard)
	a, b := svc("a", service.Backend{Host: "h", Port: 1}), svc("b")
	apply(t, o, a, b)
	before := stat(t, dir, "a.json")
	apply(t, o, svc("a", service.Backend{Host: "h", Port: 1}), svc("b", service.Backend{Host: "h", Port: 2}))
	if !os.SameFile(before, stat(t, dir, "a.json")) {
		t.Error("a.json was written again though its text is the same")
	}
	if got := files(t, dir)["b.json"]; !strings.Contains(got, `"port":2`) {
		t.Errorf("b.json: %s", got)
	}
}

func stat(t *testing.T, dir, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestForeignAndDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"gone.json": "[]", "a.json": "half writ", "notes.txt": "stays", "b.json": "kept: nothing is known yet"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unknown := svc("b")
	unknown.Origin = service.Unknown
	apply(t, New(Options{OutputDirectory: dir}, nil, discard), svc("a"), unknown)
	want := map[string]string{"a.json": "[]", "notes.txt": "stays", "b.json": "kept: nothing is known yet"}
	if d := cmp.Diff(want, files(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestReplacedDirectoryIsFilledAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	o := New(Options{OutputDirectory: dir}, nil, discard)
	a := svc("a")
	apply(t, o, a)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	apply(t, o, a)
	if len(files(t, dir)) != 1 {
		t.Error("the file did not come back")
	}
}

func TestUnusableDirectoryIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{OutputDirectory: filepath.Join(file, "out")}, nil, discard).Apply(t.Context(), service.Snapshot{})
	if err == nil || !strings.Contains(err.Error(), "file_output directory") {
		t.Errorf("error %v", err)
	}
}

func TestLastKnownComesBack(t *testing.T) {
	dir := t.TempDir()
	want := svc("web", service.Backend{Name: "n", Host: "10.0.0.1", Port: 80, ID: service.KnownInt(3), Weight: service.KnownInt(0), ServerOptions: "check", Backup: true, ServerID: 4, Labels: `{"a":1}`})
	want.Generators = map[string]json.RawMessage{"haproxy": json.RawMessage(`{"listen":[]}`)}
	apply(t, NewLastKnown(dir, discard), want, svc("empty"))
	known, err := ReadLastKnown(dir, "web")
	if err != nil || !known.Backends.Equal(want.Backends) || string(known.Generators["haproxy"]) != `{"listen":[]}` {
		t.Errorf("read back %+v, %v", known, err)
	}
	for _, name := range []string{"empty", "new"} {
		if known, err := ReadLastKnown(dir, name); err != nil || known.Backends.Len() != 0 || known.Generators != nil {
			t.Errorf("made up what was never recorded of %s: %+v, %v", name, known, err)
		}
	}
	if known, err := ReadLastKnown(filepath.Join(dir, "none"), "web"); err != nil || known.Backends.Len() != 0 {
		t.Errorf("no directory: %+v, %v", known, err)
	}
}

func TestDamagedRecordIsNamed(t *testing.T) {
	dir := t.TempDir()
	apply(t, NewLastKnown(dir, discard), svc("b"), svc("c"))
	for name, text := range map[string]string{
		"b.json": `{"service":"b","backends":[{"host":"h\nx","port":1}]}`,
		"c.json": `{"service":`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"b": "service b: is damaged", "c": "service c: is damaged"} {
		if _, err := ReadLastKnown(dir, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzDecodeKnown(f *testing.F) {
	f.Add([]byte(`{"service":"web","backends":[{"name":"n","host":"h","port":1,"labels":{"a":1}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		known, err := decodeKnown(data, "web")
		if err != nil {
			return
		}
		for b := range known.Backends.All() {
			if strings.ContainsAny(b.Name+b.Host, "\n\r \"'#\\") {
				t.Errorf("passed: %+v", b)
			}
		}
	})
}

// Whatever comes at once, no call of Apply writes more than a burst, and all
// of it is on record in the end.
func TestLastKnownIsWrittenInBursts(t *testing.T) {
	dir := t.TempDir()
	o := NewLastKnown(dir, discard)
	var all []*service.Service
	for i := range 2*knownBurst + 1 {
		all = append(all, svc(fmt.Sprintf("s%03d", i)))
	}
	for call, want := range []struct {
		files int
		again time.Duration
	}{{knownBurst, knownPause}, {2 * knownBurst, knownPause}, {len(all), 0}, {len(all), 0}} {
		again, err := o.Apply(t.Context(), service.Snapshot{Services: all})
		if n := len(files(t, dir)); err != nil || n != want.files || again != want.again {
			t.Errorf("call %d: %d files, again after %v, %v; want %+v", call, n, again, err, want)
		}
	}
}
