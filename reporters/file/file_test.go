package file

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/reporters/reportertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newReporter(t *testing.T, dir string, refresh time.Duration) *Reporter {
	t.Helper()
	r, err := New(Options{Path: dir, Refresh: config.Seconds(refresh)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestContract(t *testing.T) {
	reportertest.Run(t, func(t *testing.T) reportertest.Registry {
		dir := filepath.Join(t.TempDir(), "not", "made", "yet")
		return reportertest.Registry{
			New:    func() service.Reporter { return newReporter(t, dir, time.Minute) },
			Read:   func() []service.Backend { return read(t, dir) },
			Vanish: func() { must(t, os.RemoveAll(dir)) },
			Break: func() func() {
				// Root may write anywhere, so a file in the directory's place
				// is what breaks it.
				must(t, os.RemoveAll(dir))
				must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
				must(t, os.WriteFile(dir, nil, 0o644))
				return func() { must(t, os.Remove(dir)) }
			},
			Dead: func() service.Reporter { return newReporter(t, filepath.Join(dir, "none"), time.Minute) },
		}
	}, reportertest.Silent) // a disk answers
}

func read(t *testing.T, dir string) []service.Backend {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	must(t, err)
	var all []service.Backend
	for _, f := range files {
		data, err := os.ReadFile(f)
		must(t, err)
		b, err := service.DecodePayload(data)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, b)
	}
	return all
}

var up = service.Registration{Up: true, Backend: service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 80}}

const upFile = "i-1_10.0.0.1_80.json"

func TestFileHoldsThePayload(t *testing.T) {
	dir := t.TempDir()
	r := newReporter(t, dir, time.Minute)
	must(t, r.Report(t.Context(), up))
	got, err := os.ReadFile(filepath.Join(dir, upFile))
	must(t, err)
	if want := `{"host":"10.0.0.1","port":80,"name":"i-1"}`; string(got) != want {
		t.Errorf("file holds %s, want %s", got, want)
	}
	info, err := os.Stat(filepath.Join(dir, upFile))
	must(t, err)
	if info.Mode() != 0o644 {
		t.Errorf("mode %v: readers run as other users", info.Mode())
	}
	must(t, r.Close(t.Context()))
}

func TestTheTimeIsRenewed(t *testing.T) {
	dir := t.TempDir()
	r := newReporter(t, dir, time.Nanosecond) // due on every round
	must(t, r.Report(t.Context(), up))
	before, err := os.Stat(filepath.Join(dir, upFile))
	must(t, err)
	must(t, r.Report(t.Context(), up))
	after, err := os.Stat(filepath.Join(dir, upFile))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file was written again: every reader reads it again")
	}
	if !after.ModTime().After(before.ModTime()) {
		t.Errorf("time went from %v to %v", before.ModTime(), after.ModTime())
	}
	must(t, r.Report(t.Context(), up))
	must(t, r.Close(t.Context()))
}

func TestForeignEditsAreRepaired(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(t *testing.T, path string)
	}{
		{"removed", func(t *testing.T, path string) { must(t, os.Remove(path)) }},
		{"replaced", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.WriteFile(path, []byte("x"), 0o644))
		}},
		{"edited in place", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("xyz"), 0o644)) }},
		{"aged", func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0))) }},
		{"replaced by a symlink", func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/etc/passwd", path))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newReporter(t, dir, time.Minute)
			must(t, r.Report(t.Context(), up))
			tc.edit(t, filepath.Join(dir, upFile))
			must(t, r.Report(t.Context(), up))
			if diff := cmp.Diff([]service.Backend{up.Backend}, read(t, dir)); diff != "" {
				t.Error(diff)
			}
			info, err := os.Lstat(filepath.Join(dir, upFile))
			must(t, err)
			if time.Since(info.ModTime()) > time.Minute || !info.Mode().IsRegular() {
				t.Errorf("still %v of %v", info.Mode(), info.ModTime())
			}
		})
	}
}

func TestDownRemovesWhatAKilledPredecessorLeft(t *testing.T) {
	dir := t.TempDir()
	must(t, newReporter(t, dir, time.Minute).Report(t.Context(), up)) // killed: no Close
	r := newReporter(t, dir, time.Minute)
	must(t, r.Report(t.Context(), service.Registration{Backend: up.Backend}))
	if got := read(t, dir); len(got) != 0 {
		t.Errorf("still registered: %v", got)
	}
}

func TestAnotherAddressMovesTheFile(t *testing.T) {
	dir := t.TempDir()
	r := newReporter(t, dir, time.Minute)
	must(t, r.Report(t.Context(), up))
	moved := up
	moved.Backend.Port = 81
	must(t, r.Report(t.Context(), moved))
	if diff := cmp.Diff([]service.Backend{moved.Backend}, read(t, dir)); diff != "" {
		t.Error(diff)
	}
	must(t, r.Close(t.Context()))
}

func TestFileName(t *testing.T) {
	long := strings.Repeat("x", 255)
	for _, tc := range []struct {
		b    service.Backend
		want string
	}{
		{service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 80}, "i-1_10.0.0.1_80.json"},
		{service.Backend{Name: "web", Host: "fe80::1%eth0", Port: 80}, "web_fe80%3A%3A1%25eth0_80.json"},
		{service.Backend{Name: "../../etc/x", Host: "h", Port: 1}, "%2E.%2F..%2Fetc%2Fx_h_1.json"},
		{service.Backend{Name: ".hidden", Host: "h", Port: 1}, "%2Ehidden_h_1.json"},
		{service.Backend{Host: "h", Port: 1}, "_h_1.json"},
	} {
		if got := fileName(tc.b); got != tc.want {
			t.Errorf("fileName(%+v) = %q, want %q", tc.b, got, tc.want)
		}
	}
	a := fileName(service.Backend{Name: long, Host: long, Port: 1})
	b := fileName(service.Backend{Name: long, Host: long, Port: 2})
	if a == b || len(a) > 220 {
		t.Errorf("long names: %q and %q", a, b)
	}
}

func FuzzFileName(f *testing.F) {
	f.Add("i-1", "::1", 80)
	f.Add("../..", "a/b\x00", 1)
	f.Fuzz(func(t *testing.T, name, host string, port int) {
		got := fileName(service.Backend{Name: name, Host: host, Port: port})
		if filepath.Base(got) != got || !filepath.IsLocal(got) || got[0] == '.' || len(got) > 220 || strings.ContainsRune(got, 0) {
			t.Errorf("%q is no plain file name", got)
		}
	})
}

func TestNewRefusesNoRefresh(t *testing.T) {
	if _, err := New(Options{Path: "x"}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("refresh_interval 0 would let every registration go stale")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
