package haproxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/haproxy/socket"
)

// runSection builds a section of one backend as the composer would.
func runSection(name string, lines []string, list ...Server) *Section {
	s := &Section{Service: name, BackendName: name, Backend: lines, Servers: list}
	text := "\nbackend " + name + "\n"
	for _, l := range lines {
		text += "\t" + l + "\n"
	}
	for _, w := range list {
		text += "\t" + w.Line() + "\n"
	}
	s.Text = []byte(text)
	return s
}

// srv builds a server from the words of its line: address, then options.
func srv(name, address string, id int, options string) Server {
	host, port := address, 0
	if i := strings.LastIndexByte(address, ':'); i > 0 {
		host = strings.Trim(address[:i], "[]")
		_, _ = fmt.Sscan(address[i+1:], &port)
	}
	if options != "" {
		options = " " + options
	}
	return Server{
		Name: name, Host: host, Port: port, ID: id, Options: options, Weight: weightOf(options),
		Backup: hasWord(options, "backup"), Disabled: hasWord(options, "disabled"),
	}
}

// up is the state of a server that serves.
func up(name, address string, id int) socket.ServerState {
	w := srv(name, address, id, "")
	return socket.ServerState{Backend: "web", Name: name, ID: id, Addr: w.Host, Port: w.Port, Weight: 1, Up: true}
}

func with(s socket.ServerState, f func(*socket.ServerState)) socket.ServerState {
	f(&s)
	return s
}

func maint(s *socket.ServerState) { s.Admin, s.Up = socket.ForcedMaint, false }
func drain(s *socket.ServerState) { s.Admin = socket.ForcedDrain }

// said is everything that a plan holds, in one list.
func said(p Plan) []string {
	var out []string
	for _, s := range p.Steps {
		if s.Verb == VerbAdopt {
			out = append(out, "adopt "+s.Ref.String())
		}
		mark := ""
		if s.guarded {
			mark = "guarded: "
		}
		for _, c := range s.Trial {
			out = append(out, "try: "+c)
		}
		for _, c := range s.Commands {
			out = append(out, mark+c)
		}
	}
	for _, r := range p.Reload {
		out = append(out, "RELOAD "+string(r.Kind)+": "+r.Text)
	}
	for _, r := range p.Left {
		out = append(out, "LEFT "+r.Text)
	}
	for _, r := range p.Waiting {
		out = append(out, "WAITING "+r.Text)
	}
	return out
}

func TestPlan(t *testing.T) {
	a, b, c := up("a", "10.0.0.1:80", 1), up("b", "10.0.0.2:80", 2), up("c", "10.0.0.3:80", 3)
	wa, wb, wc := srv("a", "10.0.0.1:80", 1, ""), srv("b", "10.0.0.2:80", 2, ""), srv("c", "10.0.0.3:80", 3, "")
	type states = []socket.ServerState
	cases := []struct {
		name      string
		version   string // 2.6.12
		inherited []string
		lines     []string
		running   states
		missing   bool
		want      []Server
		loaded    []Server // as want when nil
		unknown   bool     // what was loaded is not known
		known     *Known
		hosts     map[string][]string
		maint     bool
		out       []string
	}{
		{name: "equal", running: states{a, b}, want: []Server{wa, wb}},
		{name: "missing backend", missing: true, want: []Server{wa}, out: []string{"RELOAD missing backend: backend web is not in the running HAProxy"}},
		{
			name: "adds first, takes away last", running: states{a}, want: []Server{wb}, loaded: []Server{wa},
			out: []string{"add server web/b 10.0.0.2:80 id 2", "enable server web/b", "guarded: set server web/a state drain"},
		},
		{
			name: "options are spelled out, those of default-server before the server's own", running: states{a},
			inherited: []string{"default-server inter 3s fall 2 init-addr last,libc,none"}, lines: []string{"default-server inter 5s weight 7 check"},
			want: []Server{wa, srv("b", "[fd00::1]:80", 2, "rise 3 observe layer4 on-error mark-down backup")},
			out: []string{
				"set server web/a weight 7",
				"add server web/b [fd00::1]:80 id 2 fall 2 inter 5s weight 7 check rise 3 observe layer4 on-error mark-down backup",
				"enable health web/b", "enable server web/b",
			},
		},
		{
			name: "no-check takes the inherited check back", running: states{a}, lines: []string{"default-server check"},
			want: []Server{wa, srv("b", "10.0.0.2:80", 2, "no-check")},
			out:  []string{"add server web/b 10.0.0.2:80 id 2", "enable server web/b"},
		},
		{
			name: "a cookie without the directive is left out", running: states{a}, want: []Server{wa, cookied(wb)},
			out: []string{"add server web/b 10.0.0.2:80 id 2", "enable server web/b"},
		},
		{
			name: "a cookie with the directive needs 3.0", running: states{a}, lines: []string{"cookie SRV insert"}, want: []Server{wa, cookied(wb)},
			out: []string{"RELOAD HAProxy too old: server b cannot be added at run time: HAProxy 2.6.12 takes no cookie there"},
		},
		{
			name: "a cookie in 3.0", version: "3.0.0", running: states{a}, inherited: []string{"cookie SRV insert"}, want: []Server{wa, cookied(wb)},
			out: []string{"add server web/b 10.0.0.2:80 id 2 cookie b", "enable server web/b"},
		},
		{
			name: "too old", version: "2.2.9", running: states{a}, want: []Server{wa, wb},
			out: []string{"RELOAD HAProxy too old: server b cannot be added at run time: HAProxy 2.2.9 cannot do that"},
		},
		{
			name: "static balancing adds by reload and takes away at once", inherited: []string{"balance source"}, running: states{a, b}, want: []Server{wa, wc}, loaded: []Server{wa, wb},
			out: []string{"set server web/b state drain", "RELOAD static balancing: server c cannot be added at run time: balance source does not allow it"},
		},
		{
			name: "a backend is not emptied while only a reload can fill it", lines: []string{"balance static-rr"}, running: states{a}, want: []Server{wb}, loaded: []Server{wa},
			out: []string{"RELOAD static balancing: server b cannot be added at run time: balance static-rr does not allow it"},
		},
		{
			name: "consistent hashing is dynamic", inherited: []string{"balance uri"}, lines: []string{"hash-type consistent sdbm"}, running: states{a}, want: []Server{wa, wb},
			out: []string{"add server web/b 10.0.0.2:80 id 2", "enable server web/b"},
		},
		{
			name: "static weights", lines: []string{"balance static-rr"}, running: states{a}, want: []Server{srv("a", "10.0.0.1:80", 1, "weight 5")},
			out: []string{"RELOAD static balancing: the weight of server a cannot be changed at run time: balance static-rr does not allow it"},
		},
		{
			name: "weight and address in place", running: states{a, b}, want: []Server{srv("a", "10.0.0.9:81", 1, "weight 5"), wb}, loaded: []Server{wa, wb},
			out: []string{"set server web/a addr 10.0.0.9 port 81", "set server web/a weight 5"},
		},
		{name: "a weight that an agent sets", running: states{a}, want: []Server{srv("a", "10.0.0.1:80", 1, "agent-check agent-port 9 weight 5")}},
		{
			name: "other options by delete and add, after a trial", running: states{a, b}, want: []Server{srv("a", "10.0.0.1:80", 1, "check inter 1s"), wb}, loaded: []Server{wa, wb},
			out: []string{
				"try: add server web/a.trial 10.0.0.1:80 id 2000000000 check inter 1s", "try: del server web/a.trial",
				"set server web/a state maint", "del server web/a", "add server web/a 10.0.0.1:80 id 1 check inter 1s", "enable health web/a", "enable server web/a",
			},
		},
		{
			name: "the only server is not replaced", running: states{a}, want: []Server{srv("a", "10.0.0.1:80", 1, "check")}, loaded: []Server{wa},
			out: []string{"RELOAD server options: the options of server a cannot be changed at run time: no other server serves meanwhile"},
		},
		{
			name: "the order and place of options do not matter", running: states{a, b}, want: []Server{srv("a", "10.0.0.1:80", 7, "rise 2 check  inter 5s"), wb},
			loaded: []Server{srv("a", "10.0.0.1:80", 1, "check inter 5s rise 2"), wb},
		},
		{
			name: "disabled in the file, back", running: states{a, with(b, func(s *socket.ServerState) { s.Admin = 5; s.Up = false })}, want: []Server{wa, wb},
			loaded: []Server{wa, srv("b", "10.0.0.2:80", 2, "disabled")}, out: []string{"set server web/b state ready"},
		},
		{
			name: "draining because of an earlier run, back: its options may be others", running: states{a, with(b, drain)}, want: []Server{wa, wb}, loaded: []Server{wa},
			out: []string{
				"try: add server web/b.trial 10.0.0.2:80 id 2000000000", "try: del server web/b.trial",
				"set server web/b state maint", "del server web/b", "add server web/b 10.0.0.2:80 id 2", "enable server web/b",
			},
		},
		{
			name: "the same where only a reload can change them", lines: []string{"balance static-rr"}, running: states{a, with(b, drain)}, want: []Server{wa, wb}, loaded: []Server{wa},
			out: []string{"set server web/b state ready", "RELOAD static balancing: the options of server b cannot be changed at run time: balance static-rr does not allow it"},
		},
		{
			name: "an operator's maintenance and drain stay", running: states{with(a, drain), with(b, maint), c}, want: []Server{wa, wb, wc},
			out: []string{"LEFT server a was taken out of rotation by hand: it stays so until somebody brings it back", "LEFT server b was taken out of rotation by hand: it stays so until somebody brings it back"},
		},
		{
			name: "an operator's maintenance stays when it is not known what was loaded", unknown: true, running: states{with(a, maint), b}, want: []Server{wa, wb},
			out: []string{"LEFT server a was taken out of rotation by hand: it stays so until somebody brings it back"},
		},
		{
			name: "an operator took out what we had brought back", running: states{with(a, func(s *socket.ServerState) { s.Admin = 5 }), b}, want: []Server{wa, wb},
			known: &Known{rotation: map[ServerRef]place{{"web", "a"}: inside}},
			out:   []string{"LEFT server a was taken out of rotation by hand: it stays so until somebody brings it back"},
		},
		{
			name: "ours comes back", running: states{with(a, drain), b}, want: []Server{wa, wb},
			known: &Known{rotation: map[ServerRef]place{{"web", "a"}: outside}}, out: []string{"set server web/a state ready"},
		},
		{
			name: "in maintenance and gone", running: states{a, with(b, maint)}, want: []Server{wa}, out: []string{"adopt web/b"},
		},
		{
			name: "remembered servers stay in maintenance, or go there", running: states{a, with(b, maint), c}, loaded: []Server{wa, wb, wc},
			want: []Server{wa, srv("b", "10.0.0.2:80", 2, "disabled"), srv("c", "10.0.0.3:80", 3, "disabled"), srv("d", "10.0.0.4:80", 4, "disabled")},
			out:  []string{"set server web/c state drain"},
		},
		{name: "straight into maintenance", maint: true, running: states{a, b}, want: []Server{wa}, out: []string{"set server web/b state maint"}},
		{name: "an honestly empty service", running: states{a, b}, out: []string{"set server web/a state drain", "set server web/b state drain"}},
		{
			name: "servers in the backend's own lines are not touched", lines: []string{"server own 10.0.0.1:80", "server-template t 2 10.0.0.2:80"},
			running: states{up("own", "10.0.0.1:80", 1), up("t1", "10.0.0.2:80", 2), up("t2", "10.0.0.2:80", 3), up("tx", "10.0.0.2:80", 4)},
			out:     []string{"set server web/tx state drain"},
		},
		{
			name: "an id that a leaving server still has", running: states{a, with(b, drain)}, want: []Server{wa, srv("c", "10.0.0.3:80", 2, "")}, loaded: []Server{wa},
			known: &Known{leaving: map[ServerRef]*leaver{{"web", "b"}: {}}},
			out:   []string{"add server web/c 10.0.0.3:80 id 3", "enable server web/c"},
		},
		{
			name: "a name is resolved by us", running: states{a}, want: []Server{wa, srv("n", "db.example:80", 2, "check")}, hosts: map[string][]string{"db.example": {"10.9.9.9", "10.9.9.8"}},
			out: []string{"add server web/n 10.9.9.9:80 id 2 check", "enable health web/n", "enable server web/n"},
		},
		{
			name: "a name without an address holds up nothing but the server that it replaces", running: states{a}, want: []Server{srv("n", "db.example:80", 2, "")}, loaded: []Server{wa},
			out: []string{"WAITING server n is not added: its name db.example has no address"},
		},
		{
			name: "a name that HAProxy resolved", running: states{with(up("n", "10.9.9.1:80", 2), func(s *socket.ServerState) { s.FQDN = "db.example" })}, want: []Server{srv("n", "db.example:80", 2, "")},
		},
		{
			name: "a name that moved", running: states{up("n", "10.9.9.1:80", 2)}, want: []Server{srv("n", "db.example:80", 2, "")}, hosts: map[string][]string{"db.example": {"10.9.9.9"}},
			out: []string{"set server web/n addr 10.9.9.9 port 80"},
		},
		{
			name: "a name that is to be followed", running: states{a}, want: []Server{wa, srv("n", "db.example:80", 2, "resolvers r")},
			out: []string{"RELOAD server options: server n cannot be added at run time: HAProxy itself is to resolve its name"},
		},
		{
			name: "a socket", running: states{a}, want: []Server{wa, {Name: "u", Host: "unix@/run/u.sock", ID: 2}},
			out: []string{"add server web/u unix@/run/u.sock id 2", "enable server web/u"},
		},
		{
			name: "words cannot end a command", running: states{a}, want: []Server{wa, srv("b", "10.0.0.2:80", 2, "check;quit")},
			out: []string{`add server web/b 10.0.0.2:80 id 2 check\;quit`, "enable server web/b"},
		},
		{
			name: "nor begin a payload", running: states{a}, want: []Server{wa, srv("b", "10.0.0.2:80", 2, "weight <<")},
			out: []string{"RELOAD server options: server b cannot be added at run time: its options hold a word that the socket does not take"},
		},
		{
			name: "nor do names", running: states{a}, want: []Server{wa, srv("b;quit", "10.0.0.2:80", 2, "")},
			out: []string{"RELOAD server options: server b;quit cannot be added at run time: its name holds a character that HAProxy does not allow"},
		},
		{
			name: "refused before", running: states{a}, want: []Server{wa, wb},
			known: &Known{refused: map[string]refusal{"add server web/b 10.0.0.2:80 id 2": {reply: "no"}}},
			out:   []string{"RELOAD refused: server b cannot be added at run time: no"},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			run := Running{Info: socket.Info{Version: "2.6.12", PID: 1}, Backends: map[string][]socket.ServerState{
				"other": {up("x", "10.0.0.1:1", 1)}, "web": tc.running,
			}}
			if tc.version != "" {
				run.Info.Version = tc.version
			}
			if tc.missing {
				delete(run.Backends, "web")
			}
			if tc.loaded == nil {
				tc.loaded = tc.want
			}
			text := runSection("web", tc.lines, tc.loaded...).Text
			loaded := func(string) []byte { return text }
			if tc.unknown {
				loaded = nil
			}
			plan := NewPlan(run, []*Section{runSection("web", tc.lines, tc.want...), {Service: "carried", BackendName: "other", Carried: true}}, PlanOptions{
				Known: tc.known, Loaded: loaded, Inherited: tc.inherited, Hosts: tc.hosts, Maintenance: tc.maint,
			})
			if d := cmp.Diff(tc.out, said(plan)); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func cookied(s Server) Server {
	s.Cookie = s.Name
	return s
}

func TestWordsSurviveTheWayToTheSocket(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
		err  error
	}{
		{in: ` check  inter 5s `, want: []string{"check", "inter", "5s"}},
		{in: `sni "str(a b)" x\ y 'q"#'z # rest`, want: []string{"sni", "str(a b)", "x y", `q"#z`}},
		{in: `"open`, err: errOpenQuote},
		{in: `"${HOME}"`, err: errEnvironment},
		{in: `a "" b`, want: []string{"a", "", "b"}},
	} {
		got, err := configWords(tc.in)
		if err != tc.err || !cmp.Equal(tc.want, got) {
			t.Errorf("%q: %q, %v", tc.in, got, err)
		}
	}
}

func FuzzCommandsStayOneCommand(f *testing.F) {
	f.Add("web", "check inter 5s", "10.0.0.1")
	f.Add("a;b", "check", "10.0.0.1")
	f.Add("a;b", `x\ y "q;" <<`, "unix@/a b")
	f.Fuzz(func(t *testing.T, name, options, host string) {
		run := Running{Info: socket.Info{Version: "3.0.0", PID: 1}, Backends: map[string][]socket.ServerState{"web": nil}}
		w := Server{Name: name, Host: host, Port: 1, ID: 1, Options: " " + options}
		plan := NewPlan(run, []*Section{{Service: "web", BackendName: "web", Servers: []Server{w}}}, PlanOptions{Hosts: map[string][]string{host: {"10.0.0.1"}}})
		for _, s := range plan.Steps {
			for _, cmd := range s.Commands {
				bare := strings.NewReplacer(`\\`, "", `\;`, "", `\ `, "").Replace(cmd)
				if strings.ContainsAny(bare, ";\n\r\x00\\") || strings.Contains(cmd, "<<") {
					t.Fatalf("%q", cmd)
				}
			}
		}
	})
}
