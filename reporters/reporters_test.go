package reporters

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/goroutines"
)

func build(t *testing.T, kind, text string) (service.Reporter, *config.Report) {
	t.Helper()
	n, err := config.Parse("r.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	deps := Deps{Etcd: etcdconn.NewPool(log), ZK: zkconn.NewPool(log), Stdout: io.Discard}
	var r config.Report
	return New(kind, n.Get("type"), n, deps, log, &r), &r
}

// Every type is built from its options without a goroutine: a configuration
// that is only checked is never closed.
func TestNew(t *testing.T) {
	tested := map[string]bool{}
	for _, tc := range []struct{ kind, text string }{
		{"console", `{"type": "console"}`},
		{"file", `{"path": "/none/x"}`},
		{"File", `{"type": "File", "path": "/none/x"}`},
		{"etcd", `{"etcd_host": "none.invalid", "etcd_path": "/x"}`},
		{"zookeeper", `{"zk_hosts": ["none.invalid:2181"], "zk_path": "/x"}`},
	} {
		started := goroutines.Started(func() {
			rep, r := build(t, tc.kind, tc.text)
			if rep == nil || r.Err() != nil || len(r.Warnings()) > 0 {
				t.Errorf("%s %s: %v %v", tc.kind, tc.text, r.Err(), r.Warnings())
			}
		})
		if len(started) > 0 {
			t.Errorf("%s: New started goroutines:\n%s", tc.kind, strings.Join(started, "\n\n"))
		}
		tested[strings.ToLower(tc.kind)] = true
	}
	for _, kind := range Types() {
		if !tested[kind] {
			t.Errorf("%s is not in this test", kind)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct{ kind, text, want string }{
		{"file", `{"path": ""}`, `r.json:1:10: path: is empty; want a directory`},
		{"pigeon", `{"type": "pigeon"}`, `r.json:1:10: type: unknown type of reporter "pigeon", want one of console, etcd, file, zookeeper`},
		{"file", `{}`, `"path" is required`},
		{"file", `{"path": "x", "refresh_interval": 0}`, "refresh_interval"},
		{"zookeeper", `{}`, "zk_hosts"},
		{"etcd", `{}`, "etcd_host"},
	} {
		rep, r := build(t, tc.kind, tc.text)
		if rep != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), tc.want) {
			t.Errorf("%s %s: got %v, want %q in it", tc.kind, tc.text, r.Err(), tc.want)
		}
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	_, r := build(t, "file", `{"path": "x", "pth": "y"}`)
	if len(r.Warnings()) != 1 || !strings.Contains(r.Warnings()[0], `did you mean "path"?`) {
		t.Errorf("%v", r.Warnings())
	}
}

func TestDescribeNamesEveryType(t *testing.T) {
	all := Describe()
	var got []string
	for _, kind := range Types() {
		if _, ok := all[kind]; ok {
			got = append(got, kind)
		}
		for _, f := range all[kind] {
			if f.Doc == "" {
				t.Errorf("%s: %s has no doc", kind, f.Path)
			}
		}
	}
	if diff := cmp.Diff(Types(), got); diff != "" {
		t.Error(diff)
	}
}

// Two reporters share the console: lines must stay whole.
func TestConsoleWritesWholeLines(t *testing.T) {
	var out bytes.Buffer
	var r config.Report
	n, err := config.Parse("r.json", []byte(`{}`), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rep := New("console", n, n, Deps{Stdout: &out}, slog.New(slog.DiscardHandler), &r)
	if err := rep.Report(t.Context(), service.Registration{Up: true}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("wrote %q", got)
	}
}
