package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"smartstack/internal/config"
	"smartstack/test/servers"
)

// checked makes b check with the real HAProxy.
func checked(t *testing.T, b *bed) *bed {
	b.options.HAProxyPath = servers.HAProxyBin(t)
	b.options.CheckTimeout = config.Seconds(servers.Deadline)
	b.options.ExtraSections = config.Map[[]string]{{Key: "listen stats", Value: []string{"bind 127.0.0.1:1"}}}
	return b
}

// settle applies until the file has been written for s, or a fault is there.
func (b *bed) settle(members map[string]string) Status {
	b.t.Helper()
	s := b.snapshot(members)
	servers.Eventually(b.t, func() error {
		b.apply(s)
		if st := b.out.Status(); st.Written != s.Rev && len(st.Faults) == 0 {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
	return b.out.Status()
}

func wantHeld(t *testing.T, st Status, names ...string) {
	t.Helper()
	var got []string
	for _, h := range st.Held {
		got = append(got, h.Service)
		if h.Reason == "" {
			t.Errorf("service %s is held without a reason", h.Service)
		}
	}
	if diff := cmp.Diff(names, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("held: %s\nstatus %+v", diff, st)
	}
	if len(st.Faults) > 0 {
		t.Errorf("faults %+v", st.Faults)
	}
}

func TestQuarantine(t *testing.T) {
	b := checked(t, newBed(t, "api", "web", "zap"))
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2", "zap": "3"}))

	// One bad word on one server: that service stays, the others go on.
	st := b.settle(map[string]string{"api": "1 4", "web": "2 5|nonsense", "zap": "6"})
	wantHeld(t, st, "web")
	if !strings.Contains(st.Held[0].Reason, "nonsense") {
		t.Errorf("reason %q", st.Held[0].Reason)
	}
	b.wantFile("1 4 2 6", "5 3")

	// The same again is not logged again; other services go on changing.
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2 5|nonsense", "zap": "6"}), "web")
	b.wantFile("1 2 6", "4 5")
	if n := strings.Count(b.log.String(), "HAProxy refuses a server"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, b.log.String())
	}

	// Across a restart the file is what was accepted last.
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1 4", "web": "2 5|nonsense", "zap": "6|rubbish"}), "web", "zap")
	b.wantFile("1 4 2 6", "5")

	// Mended input is picked up at once.
	wantHeld(t, b.settle(map[string]string{"api": "1 4", "web": "2 5|weight~5", "zap": "6"}))
	b.wantFile("1 4 2 5 6", "")
	servers.CheckHAProxy(t, b.file)
}

func TestQuarantineOfANewService(t *testing.T) {
	b := checked(t, newBed(t, "api", "web"))
	b.services[1].Options.Backend = []string{"http-request deny if nonsense"}
	b.open()
	st := b.settle(map[string]string{"api": "1", "web": "2"})
	wantHeld(t, st, "web")
	if !st.Held[0].LeftOut {
		t.Errorf("held %+v", st.Held)
	}
	b.wantFile("1", "2")
	servers.CheckHAProxy(t, b.file)
}

// A fault that HAProxy finds when it has read everything has no line number.
func TestQuarantineByName(t *testing.T) {
	b := checked(t, newBed(t, "api", "web"))
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2"}))
	out, err := b.out.Reconfigured(b.options, []ServiceConfig{
		{Name: "api"},
		{Name: "web", Options: ServiceOptions{Backend: []string{"use-server nosuch if TRUE"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.out = out
	wantHeld(t, b.settle(map[string]string{"api": "1 3", "web": "2 4"}), "web")
	b.wantFile("1 3 2", "4")
}

func TestQuarantineInTheSharedFrontend(t *testing.T) {
	b := checked(t, newBed(t, "api", "web"))
	b.options.SharedFrontend = []string{fmt.Sprintf("bind 127.0.0.1:%d", servers.FreePort(t))}
	b.services[0].Options.SharedFrontend = []string{"acl is_api path_beg /api", "use_backend api if is_api"}
	b.services[1].Options.SharedFrontend = []string{"acl is_web path_nonsense /web", "use_backend web if is_web"}
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2"}), "web")
	b.wantFile("1", "2")
	if text := b.read(); !strings.Contains(text, "use_backend api if is_api") || strings.Contains(text, "is_web") {
		t.Error(text)
	}
	b.services[1].Options.SharedFrontend = []string{"acl is_web path_beg /web", "use_backend web if is_web"}
	var err error
	if b.out, err = b.out.Reconfigured(b.options, b.services); err != nil {
		t.Fatal(err)
	}
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2"}))
	b.wantFile("1 2", "")
	servers.CheckHAProxy(t, b.file)
}

// What the configuration says outside of the services stays as it was when HAProxy
// refuses it, and the services go on; the first one ever has nothing to stay with.
func TestABadPreambleStaysAsItWas(t *testing.T) {
	b := checked(t, newBed(t, "web"))
	b.open()
	b.settle(map[string]string{"web": "1"})
	o := b.options
	o.Global = []string{"nonsense yes", "maxconn 7"}
	var err error
	if b.out, err = b.out.Reconfigured(o, b.services); err != nil {
		t.Fatal(err)
	}
	st := b.settle(map[string]string{"web": "2"})
	if len(st.Faults) != 1 || !strings.Contains(st.Faults[0].Err, "nonsense") || strings.Contains(st.Faults[0].Err, ".synapse") || len(st.Held) > 0 {
		t.Errorf("status %+v", st)
	}
	b.wantFile("2", "1")
	if text := b.read(); !strings.Contains(text, "maxconn 100") || strings.Contains(text, "maxconn 7") {
		t.Errorf("the file says\n%s", text)
	}
	b.wantReloads(2)

	o.Global = []string{"maxconn 7"}
	if b.out, err = b.out.Reconfigured(o, b.services); err != nil {
		t.Fatal(err)
	}
	s := b.snapshot(map[string]string{"web": "2"})
	servers.Eventually(t, func() error {
		b.apply(s)
		if st := b.out.Status(); st.Written != s.Rev || len(st.Faults) > 0 {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
	b.wantFile("2", "1")
	if text := b.read(); !strings.Contains(text, "maxconn 7") {
		t.Errorf("the file says\n%s", text)
	}
}

func TestABadFirstPreambleWritesNothing(t *testing.T) {
	b := checked(t, newBed(t, "web"))
	b.options.Global = []string{"nonsense yes"}
	b.open()
	if st := b.settle(map[string]string{"web": "1"}); len(st.Faults) != 1 || !strings.Contains(st.Faults[0].Err, "nonsense") || st.Written != 0 {
		t.Errorf("status %+v", st)
	}
	if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written: %v", err)
	}
}

// A check_command that does not say where the fault is: the services are
// found by trying.
func TestBisect(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	b := newBed(t, names...)
	b.options.DoChecks, b.options.CandidateConfigPath = true, filepath.Join(b.dir, "candidate.cfg")
	count := filepath.Join(b.dir, "count")
	b.options.CheckCommand = fmt.Sprintf("echo x >> %s; ! grep -q 'bad' %s", count, b.options.CandidateConfigPath)
	b.options.CheckTimeout = config.Seconds(servers.Deadline)
	b.open()
	all := func(extra string, in ...string) map[string]string {
		m := map[string]string{}
		for i, n := range names {
			m[n] = fmt.Sprint(100 + i)
		}
		for _, n := range in {
			m[n] += " " + extra
		}
		return m
	}
	wantHeld(t, b.settle(all("")))
	members := all("200|bad", "c", "h")
	members["d"] += " 201"
	wantHeld(t, b.settle(members), "c", "h")
	b.wantFile("201 100 102 107", "200")
	if _, err := os.Stat(b.options.CandidateConfigPath); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the candidate is left behind: %v", err)
	}

	// A text that is refused whatever service is kept back is no service's fault.
	o := b.options
	o.Global = []string{"bad"}
	var err error
	if b.out, err = b.out.Reconfigured(o, b.services); err != nil {
		t.Fatal(err)
	}
	st := b.settle(all("202", "a"))
	if len(st.Faults) != 1 || len(st.Held) > 0 || strings.Contains(b.read(), "bad") {
		t.Errorf("status %+v\n%s", st, b.read())
	}
	b.wantFile("202", "201")
}

func TestCheckThatCannotBeDone(t *testing.T) {
	for _, tc := range []struct{ name, command, want string }{
		{"not there", "/nonexistent/check", "not found"},
		{"hangs", "sleep 1000", "did not end within"},
		{"killed", "kill -9 $$", "signal: killed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, "web")
			b.options.DoChecks, b.options.CandidateConfigPath = true, filepath.Join(b.dir, "candidate.cfg")
			b.options.CheckCommand, b.options.CheckTimeout = tc.command, config.Seconds(50*time.Millisecond)
			if tc.name != "hangs" {
				b.options.CheckTimeout = config.Seconds(servers.Deadline)
			}
			b.open()
			st := b.settle(map[string]string{"web": "1"})
			if len(st.Faults) != 1 || !strings.Contains(st.Faults[0].Err, tc.want) || !strings.Contains(st.Faults[0].Err, tc.command) {
				t.Errorf("faults %+v", st.Faults)
			}
			if _, err := os.Stat(b.file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file was written: %v", err)
			}
			b.wantReloads(0)
		})
	}
}

// A change of members alone, with addresses and options of a proven kind, is
// written without a check; everything else is checked.
func TestProven(t *testing.T) {
	b := newBed(t, "web")
	b.options.DoChecks = false
	checks := 0
	b.open()
	b.out.check = func(_ context.Context, path string, _ []byte) (string, error) { checks++; return path, nil }
	for _, tc := range []struct {
		name, members string
		checked       bool
	}{
		{"first", "1 2", true},
		{"one more", "1 2 3", false},
		{"others", "4", false},
		{"other options", "4|weight~3", true},
		{"one like it", "4|weight~3 5|weight~3", false},
		{"an id of its own", "4|weight~3 5|id~77", true},
		{"none", "", false},
		{"some again", "7", true},
	} {
		before := checks
		b.settle(map[string]string{"web": tc.members})
		if got := checks > before; got != tc.checked {
			t.Errorf("%s: checked %v, want %v\n%s", tc.name, got, tc.checked, b.read())
		}
	}
}

func FuzzBlame(f *testing.F) {
	f.Add("[ALERT]    (21584) : config : parsing [/x/h.cfg:10] : 'server web/c' : 'id' : custom id 1 already used at /x/h.cfg:9 ('server a').")
	f.Add("[ALERT] : config : Proxy 'web': unable to find required default_backend: 'nn'.\n[WARNING] : backend 'api'")
	f.Add("[h.cfg:0] [h.cfg:-1] [h.cfg:99999999999999999999] 'server /")
	m := Model{
		Preamble:       []byte("\nglobal\n"),
		Sections:       []*Section{{Service: "web", BackendName: "web", Text: []byte("\nbackend web\n\tserver a 10.0.0.1:80\n"), Shared: []string{"acl x"}}},
		SharedFrontend: []byte("\nfrontend shared-frontend\n\tacl x\n"),
	}
	f.Fuzz(func(t *testing.T, output string) {
		for _, b := range blame(m, "/x/h.cfg", output) {
			if b.service != "" && b.service != "web" {
				t.Errorf("blamed %+v", b)
			}
		}
		alerts(output)
	})
}

func TestBlame(t *testing.T) {
	section := func(name string) *Section {
		return &Section{
			Service: name, FrontendName: name, BackendName: name + "-back", Shared: []string{"acl " + name},
			Text: []byte("\nfrontend " + name + "\n\tbind :1\n\nbackend " + name + "-back\n\tserver a 10.0.0.1:80\n"),
		}
	}
	m := Model{Preamble: []byte("\nglobal\n\tmaxconn 1\n"), Sections: []*Section{section("api"), section("web")}}
	m.SharedFrontend = appendShared([]byte("\nfrontend shared-frontend\n\tbind :80\n"), m.Sections)
	for _, tc := range []struct {
		name, output string
		want         []blamed
	}{
		{"nothing", "all is well\n[ALERT] : config : Fatal errors found in configuration.", nil},
		{"preamble", "[ALERT] (1) : config : parsing [/x/h.cfg:4] : no", []blamed{{reason: "parsing [/x/h.cfg:4] : no"}}},
		{"first and last line", "[/x/h.cfg:5] : a\n[/x/h.cfg:16] : b", []blamed{{service: "api", reason: "[/x/h.cfg:5] : a"}, {service: "web", servers: []string{"a"}, reason: "[/x/h.cfg:16] : b"}}},
		{"head of the shared frontend", "[/x/h.cfg:19] : a", []blamed{{reason: "[/x/h.cfg:19] : a"}}},
		{"shared", "[/x/h.cfg:21] : a", []blamed{{service: "web", reason: "[/x/h.cfg:21] : a", inShared: true}}},
		{"the first place counts", "[/x/h.cfg:12] : as at [/x/h.cfg:5]", []blamed{{service: "web", reason: "[/x/h.cfg:12] : as at [/x/h.cfg:5]"}}},
		{"another file", "[/x/other.cfg:12] : a", nil},
		{"warnings", "[WARNING] (1) : config : parsing [/x/h.cfg:12] : a", nil},
		{"by name", "[ALERT] : config : backend 'web-back' : unable to find server", []blamed{{service: "web", reason: "backend 'web-back' : unable to find server"}}},
		{"by server", "[ALERT] : config : 'server api-back/a' : could not resolve", []blamed{{service: "api", reason: "'server api-back/a' : could not resolve"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := blame(m, "/x/h.cfg", tc.output)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(blamed{})); diff != "" {
				t.Errorf("%s\n%s", diff, m.Render())
			}
		})
	}
}
