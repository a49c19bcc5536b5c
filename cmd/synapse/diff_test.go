package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
	"smartstack/internal/service"
)

// detail is a server as HAProxy shows it when nothing is special.
func detail(name, addr string, change func(*socket.Detail)) socket.Detail {
	d := socket.Detail{Name: name, Addr: addr, Status: "no check", Weight: 1, SetWeight: 1}
	if change != nil {
		change(&d)
	}
	return d
}

func TestDiffComparesEveryProcessAndTheFile(t *testing.T) {
	wanted := []haproxy.Server{
		{Name: "same", Host: "10.0.0.1", Port: 80},
		{Name: "heavy", Host: "10.0.0.2", Port: 80, Options: " weight 5", Weight: service.KnownInt(5)},
		{Name: "spare", Host: "10.0.0.3", Port: 80, Backup: true},
		{Name: "moved", Host: "10.0.0.4", Port: 80},
		{Name: "idle", Host: "10.0.0.5", Port: 80, Options: " weight 0", Weight: service.KnownInt(0)},
		{Name: "off", Host: "10.0.0.6", Port: 80, Disabled: true},
		{Name: "new", Host: "10.0.0.7", Port: 80},
		{Name: "agent", Host: "10.0.0.8", Port: 80, Options: " agent-check"},
	}
	lines := map[string]string{}
	for _, w := range wanted {
		lines[w.Name] = w.Line()
	}
	lines["moved"] = "server moved 10.0.0.9:80"
	lines["spare"] = "server spare 10.0.0.3:80"
	delete(lines, "new")
	lines["old"] = "server old 10.0.0.10:80"
	lines["mine"] = "server mine 10.0.0.11:80"
	first := []socket.Detail{
		detail("same", "10.0.0.1:80", nil),
		detail("heavy", "10.0.0.2:80", nil),
		detail("spare", "10.0.0.3:80", nil),
		detail("moved", "10.0.0.4:80", nil),
		detail("idle", "10.0.0.5:80", func(d *socket.Detail) { d.Status, d.SetWeight = "DRAIN", 0 }),
		detail("off", "10.0.0.6:80", func(d *socket.Detail) { d.Status = "MAINT" }),
		detail("agent", "10.0.0.8:80", func(d *socket.Detail) { d.SetWeight = 9 }),
		detail("mine", "10.0.0.11:80", nil), detail("t1", "10.0.0.12:80", nil),
		detail("left", "10.0.0.13:80", func(d *socket.Detail) { d.Sessions = 3 }),
	}
	second := append([]socket.Detail{}, first...)
	second[0].Status = "DRAIN (forced)"
	second[1].SetWeight = 5
	c := comparison{
		service: "web", backend: "web", file: &haproxy.InFile{Servers: map[string]map[string]string{"web": lines}},
		section: &haproxy.Section{Servers: wanted, Backend: []string{"server mine 10.0.0.11:80", "server-template t 1-2 x:80"}},
		processes: []*haproxy.Inspected{
			{Socket: "/1", Servers: map[string][]socket.Detail{"web": first}},
			{Socket: "/2", Servers: map[string][]socket.Detail{"web": second}},
		},
	}
	got := map[string]string{}
	for _, d := range c.differences() {
		got[d.Server] = d.Why
	}
	want := map[string]string{
		"same":  "on /2: HAProxy has taken it out: DRAIN (forced)",
		"heavy": "on /1: HAProxy runs it with weight 1, wanted is 5",
		"spare": "on /1: HAProxy runs it with backup false, wanted is true; on /2: HAProxy runs it with backup false, wanted is true; the file has it with other options: server spare 10.0.0.3:80",
		"moved": "the file has it at another address",
		"new":   "on /1: HAProxy does not run it; on /2: HAProxy does not run it; the file does not have it yet",
		"old":   "the file still has it",
		"left":  "on /1: HAProxy runs it (no check, 3 sessions), and nobody wants it; on /2: HAProxy runs it (no check, 3 sessions), and nobody wants it",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDiffFindsBackendsOfNobody(t *testing.T) {
	v := &view{output: &haproxy.Output{}, placed: map[string]haproxy.Placed{
		"out": {Held: &haproxy.Held{Service: "out", LeftOut: true, Reason: "bad"}},
	}}
	file := &haproxy.InFile{Servers: map[string]map[string]string{"gone": {"a": "server a 10.0.0.1:80"}}}
	process := &haproxy.Inspected{Servers: map[string][]socket.Detail{"older": {detail("b", "10.0.0.2:80", nil)}}}
	got := map[string]string{}
	for _, d := range v.compareAll(file, []*haproxy.Inspected{process}) {
		got[d.Service] = d.Why
	}
	if len(got) != 3 || !strings.Contains(got["out"], "left out of the file: bad") || got["gone"] != "the file still has it" || !strings.Contains(got["older"], "nobody wants it") {
		t.Errorf("%q", got)
	}
}

func TestDiffDoesNotTakeSilenceForAgreement(t *testing.T) {
	v := &view{output: &haproxy.Output{}, placed: map[string]haproxy.Placed{"late": {Section: &haproxy.Section{Carried: true}}}}
	got := strings.Join(v.uncompared(nil), "\n")
	for _, want := range []string{"nothing is wanted yet", "HAProxy was not asked", "service late is not compared"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
	v.status.Wanted, v.asked = 1, []haproxy.Inspected{{Socket: "/1"}, {Socket: "/2", Err: "refused"}}
	if got := v.uncompared(nil); len(got) != 2 || !strings.Contains(got[0], "/2: refused") {
		t.Errorf("%q", got)
	}
}
