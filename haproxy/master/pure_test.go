package master

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const procs26 = `#<PID>          <type>          <reloads>       <uptime>        <version>      
21520           master          5 [failed: 1]   0d00h05m23s     2.6.12-1+deb12u4
# workers
6587            worker          0               0d00h00m01s     2.6.12-1+deb12u4
# old workers
4823            worker          1               0d00h00m32s     2.6.12-1+deb12u4
4711            worker          2               0d00h01m32s     2.6.12-1+deb12u4
# programs

`

// With the column that 2.4 has more.
const procs24 = `#<PID>          <type>          <relative PID>  <reloads>       <uptime>        <version>      
1162            master          0               5               0d00h02m07s     2.4.22
# workers
1271            worker          1               0               0d00h00m00s     2.4.22
# old workers
1233            worker          [was: 1]        3               0d00h00m43s     2.4.22
# programs
99              cat             0               0               0d00h00m43s     2.4.22

`

func TestParseProcs(t *testing.T) {
	for _, tt := range []struct {
		text string
		want family
	}{
		{procs26, family{master: 21520, failed: 1, current: []int{6587}, old: []int{4823, 4711}}},
		{procs24, family{master: 1162, current: []int{1271}, old: []int{1233}}},
	} {
		got, err := parseProcs(tt.text)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(family{})); diff != "" {
			t.Error(diff)
		}
	}
	for _, text := range []string{"", "Unknown command.\n", "x master 0\n", "-1 master 0\n"} {
		if f, err := parseProcs(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, f)
		}
	}
}

func FuzzParseProcs(f *testing.F) {
	for _, seed := range []string{procs26, procs24, "", "1 master 0 [failed: 99999999999999999999]\n", "# workers\n1 worker 0\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseProcs(text)
		for _, pid := range append(append([]int{got.master}, got.current...), got.old...) {
			if err == nil && pid <= 0 { // kill would take it for a group
				t.Errorf("pid %d", pid)
			}
		}
	})
}

func FuzzParsePid(f *testing.F) {
	for _, seed := range []string{"12 345 abc\n", "12 345 \n", "-1 2 x", "0 0 0", "\x00\xff", "99999999999999999999 1 x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if pid, _, _, ok := parsePid(text); ok && pid <= 0 {
			t.Errorf("pid %d", pid)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add("10474 (haproxy) Z 1 10424 10424 0 -1 4227148 716 0 0 0 0 0 0 0 20 0 1 0 487966 0 0")
	f.Add("1 (a) b) (c) S 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 12")
	f.Add("1 (")
	f.Fuzz(func(_ *testing.T, line string) { _, _ = parseStat(1, line) })
}

func TestParseStat(t *testing.T) {
	e, err := parseStat(7, "7 (a) Z b) S 3 7 7 0 -1 4227148 716 0 0 0 0 0 0 0 20 0 1 0 487966 0 0")
	want := entry{pid: 7, parent: 3, state: 'S', start: 487966}
	if err != nil || e != want {
		t.Errorf("got %+v, %v, want %+v", e, err, want)
	}
	if _, err := parseStat(7, "7 (a"); err == nil {
		t.Error("half a line is taken")
	}
}

func TestKin(t *testing.T) {
	o := Options{Config: "/etc/haproxy.cfg", Socket: "/run/m.sock"}
	for args, want := range map[string]kinship{
		"haproxy -W -db -f /etc/haproxy.cfg -S /run/m.sock,level,admin":                                ours,
		"/opt/lb -W -db -f /etc/haproxy.cfg -S /run/m.sock,level,admin -sf 12 -x sockpair@4":           ours,
		"/usr/sbin/haproxy -sf 12 -x sockpair@4 -W -db -f /etc/haproxy.cfg -S /run/m.sock,level,admin": ours,
		"/usr/sbin/haproxy -Ws -f /etc/haproxy.cfg -p /run/haproxy.pid -S /run/haproxy-master.sock":    rival,
		"haproxy -D -f /etc/haproxy.cfg":                                        rival,
		"haproxy -c -f /etc/haproxy.cfg":                                        stranger,
		"haproxy -f /etc/haproxy.cfg -c -S /run/m.sock":                         stranger,
		"haproxy -W -f /etc/other.cfg -S /run/m.sock":                           stranger,
		"/lib/ld-linux.so.2 --argv0 x /usr/sbin/haproxy -D -f /etc/haproxy.cfg": rival,
		"tail -f /etc/haproxy.cfg":                                              stranger,
		"sh -c haproxy -f /etc/haproxy.cfg -S /run/m.sock":                      stranger,
		"":                                  stranger,
		"haproxy -W -f /etc/haproxy.cfg -S": rival,
	} {
		if got := o.kin(strings.Fields(args)); got != want {
			t.Errorf("%s: got %d, want %d", args, got, want)
		}
	}
}

func TestOptionsComplete(t *testing.T) {
	o, err := Options{Config: "/etc/haproxy/haproxy.cfg"}.Complete()
	if err != nil || o.Socket != "/etc/haproxy/.synapse/haproxy/master.sock" || o.StopLimit <= 0 {
		t.Errorf("got %+v, %v", o, err)
	}
	for want, o := range map[string]Options{
		"no HAProxy configuration file": {},
		"takes at most 97":              {Config: "/x", Socket: "/" + strings.Repeat("a", 97)},
		"no comma or space":             {Config: "/x", Socket: "/a b"},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestEnvironmentHidesAnOuterMaster(t *testing.T) {
	o := Options{Env: []string{"PATH=/bin", "HAPROXY_MWORKER_REEXEC=1", "HAPROXY_PROCESSES=|type=m", "HAPROXY_CFGFILES=x"}}
	if diff := cmp.Diff([]string{"PATH=/bin", "HAPROXY_CFGFILES=x"}, o.environment()); diff != "" {
		t.Error(diff)
	}
	o.Env = nil
	if o.environment() == nil {
		t.Error("no environment would stand for our own")
	}
}

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "haproxy")
	if err := os.WriteFile(path, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := Program("", []string{"PATH=/nowhere:" + dir}); got != path {
		t.Errorf("got %q", got)
	}
	if got := Program("/opt/haproxy", nil); got != "/opt/haproxy" {
		t.Errorf("got %q", got)
	}
}

// HAProxy appends to its log; we pass on each line once, and empty it.
func TestOutput(t *testing.T) {
	var log lines
	out := newOutput(t.TempDir(), slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	out.relay(t.Context()) // nothing there
	f, err := out.create()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	say := func(text string) {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		out.relay(t.Context())
	}
	say("[NOTICE]   (1) : one\n[ALERT] 123/1 (1) : tw")
	say("o\nplain three\n")
	say(strings.Repeat("x", maxLog) + "\n")
	say("[WARNING]  (1) : four\n")
	for _, want := range []string{"level=DEBUG msg=\"haproxy says\" reason=one", "level=WARN msg=\"haproxy says\" reason=two", "plain three", "level=INFO msg=\"haproxy says\" reason=four"} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%d times %q in the log", n, want)
		}
	}
	if size := out.size(); size > 1000 {
		t.Errorf("the log has %d bytes", size)
	}
	if out.since(0) == "" {
		t.Error("nothing since the log was emptied")
	}
}

func TestWords(t *testing.T) {
	const text = "[NOTICE]   (1) : version\n[ALERT]    (1) : config : parsing [h.cfg:14] : unknown keyword 'x'\n[ALERT]    (1) : config : Fatal errors\n[WARNING]  (1) : Loading failure!\n"
	if got, want := complaints(text), "config : parsing [h.cfg:14] : unknown keyword 'x'; config : Fatal errors"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := refused("Success=0\n--\n" + text); !strings.Contains(got.Error(), "unknown keyword") {
		t.Errorf("got %v", got)
	}
	if got := lastWords("a\nb\nc\nd\ne\nf\n"); got != "b; c; d; e; f" {
		t.Errorf("got %q", got)
	}
	if got := complaints(strings.Repeat("é", 3000)); len(got) > shownOutput+10 {
		t.Errorf("%d bytes", len(got))
	}
}

func TestReloadWithoutRunEndsWithItsContext(t *testing.T) {
	m, err := New(Options{Config: "/x"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := m.Reload(ctx); err == nil || !strings.Contains(err.Error(), "not reloaded") {
		t.Errorf("got %v", err)
	}
}
