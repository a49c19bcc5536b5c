package haproxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestServersOfReadsAFile(t *testing.T) {
	got := serversOf("global\n\tdaemon\n# server x y\nfrontend web\n\tbind :1\n\tserver no 1:1\nbackend web\n\n\tserver a 10.0.0.1:80 id 1\n  server b unix@/x disabled\n\tserver\nlisten stats\n\tserver c h:1\n")
	want := map[string]map[string]string{"web": {"a": "server a 10.0.0.1:80 id 1", "b": "server b unix@/x disabled"}, "stats": {"c": "server c h:1"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestFinderPrefersTheName(t *testing.T) {
	list := []Server{{Name: "a_h:1", Host: "h", Port: 1}, {Name: "b_h:1", Host: "h", Port: 1}, {Name: "x:2", Host: "x", Port: 2}}
	find := Finder(list)
	for _, c := range []struct {
		b    service.Backend
		want string
	}{
		{service.Backend{Name: "b", Host: "h", Port: 1}, "b_h:1"},
		{service.Backend{Name: "gone", Host: "h", Port: 1}, "a_h:1"},
		{service.Backend{Host: "x", Port: 2}, "x:2"},
	} {
		if got := find(&c.b); got == nil || got.Name != c.want {
			t.Errorf("%+v: %+v, want %s", c.b, got, c.want)
		}
	}
	if got := find(&service.Backend{Host: "none", Port: 1}); got != nil {
		t.Errorf("found %+v", got)
	}
}

// TestInspectAsksTheRealHAProxy looks at a process with a server that is up,
// one in maintenance and a backend that is not there.
func TestInspectAsksTheRealHAProxy(t *testing.T) {
	dir, err := os.MkdirTemp("", "inspect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock, cfg := filepath.Join(dir, "s.sock"), filepath.Join(dir, "haproxy.cfg")
	text := "global\n\tstats socket " + sock + " level admin\ndefaults\n\tmode http\n\ttimeout connect 1s\n\ttimeout client 1s\n\ttimeout server 1s\n" +
		"frontend web\n\tbind unix@" + filepath.Join(dir, "f.sock") + "\n\tdefault_backend web\nbackend web\n\tserver a 127.0.0.1:9\n\tserver b 127.0.0.1:10 disabled\nbackend other\n\tserver c 127.0.0.1:11 weight 5\n"
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	servers.HAProxy(t, cfg, sock)
	out := &Output{options: Options{SocketFilePath: []string{sock, filepath.Join(dir, "none")}, ConfigFilePath: cfg}}
	got := out.Inspect(t.Context(), "web", "gone")
	if len(got) != 2 || got[0].Err != "" || len(got[0].Servers["web"]) != 2 || len(got[0].Servers) != 1 || got[0].PID == 0 {
		t.Fatalf("%+v", got)
	}
	a, b := got[0].Servers["web"][0], got[0].Servers["web"][1]
	if a.Status != "no check" || a.Addr != "127.0.0.1:9" || !strings.HasPrefix(b.Status, "MAINT") {
		t.Errorf("%+v\n%+v", a, b)
	}
	if got[1].Err == "" {
		t.Error("a socket that is not there is no fault")
	}
	all := out.Inspect(t.Context())[0]
	if len(all.Servers["other"]) != 1 || all.Servers["other"][0].Weight != 5 || all.Servers["other"][0].SetWeight != 5 || all.Sums["web"].Status != "UP" {
		t.Errorf("%+v", all)
	}
	if sums := out.InspectSums(t.Context())[0]; len(sums.Servers) != 0 || sums.Sums["web"].Active != 1 || sums.Sums["web"].Backups != 0 {
		t.Errorf("%+v", sums)
	}
	file, err := out.ReadFile()
	if err != nil || file.Servers["other"]["c"] != "server c 127.0.0.1:11 weight 5" {
		t.Errorf("%v, %v", file, err)
	}
}
