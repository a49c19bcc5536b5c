package haproxy

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
)

// strikeModel is one service with a backend for each of options.
func strikeModel(options ...string) Model {
	var backends []service.Backend
	for i, o := range options {
		backends = append(backends, service.Backend{Name: string(rune('a' + i)), Host: "127.0.0.1", Port: 1 + i, ServerOptions: o})
	}
	c := NewComposer(Options{}, []ServiceConfig{plain("web"), plain("other")}, "host")
	return c.Compose(snapshot(svc("web", backends...), svc("other", at("x"))), testTime)
}

func TestOneBadServerIsLeftOutAlone(t *testing.T) {
	m := strikeModel("check", "no-such-word", "check")
	bad := ""
	for i := range m.Sections[0].Servers {
		if s := &m.Sections[0].Servers[i]; strings.Contains(s.Options, "no-such-word") {
			bad = s.Name
		}
	}
	struck, ok := strikes(nil).with(m, blamed{service: "web", servers: []string{bad}, reason: "unknown word"})
	if !ok {
		t.Fatal("nothing was struck")
	}
	var k striker
	out := k.apply(m, struck)
	if d := cmp.Diff(2, len(out.Sections[0].Servers)); d != "" {
		t.Error(d)
	}
	if text := string(out.Sections[0].Text); strings.Contains(text, "no-such-word") || strings.Count(text, "\tserver ") != 2 {
		t.Errorf("text: %s", text)
	}
	if out.Sections[1] != m.Sections[1] || k.apply(m, struck).Sections[0] != out.Sections[0] {
		t.Error("sections that did not change were made again")
	}
	if held := struck.held(); len(held) != 1 || held[0].Server != bad || held[0].Reason != "unknown word" {
		t.Errorf("held: %+v", held)
	}
	if again, ok := struck.with(m, blamed{service: "web", servers: []string{bad}}); ok || len(again["web"]) != 1 {
		t.Error("the same line was struck twice")
	}
	mended := strikeModel("check", "check", "check")
	if left := struck.of(mended); left != nil {
		t.Errorf("a mended line stays struck: %v", left)
	}
}

func TestTheLastServerIsNotStruck(t *testing.T) {
	m := strikeModel("no-such-word")
	if _, ok := strikes(nil).with(m, blamed{service: "web", servers: []string{m.Sections[0].Servers[0].Name}}); ok {
		t.Error("the service would be left without a server")
	}
}

func TestBlameNamesServers(t *testing.T) {
	m := strikeModel("check", "no-such-word", "bad-too")
	text := string(m.Render())
	var alerts []string
	for n, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "no-such-word") || strings.Contains(line, "bad-too") {
			alerts = append(alerts, "[ALERT] (1) : config : parsing [/x/haproxy.cfg:"+strconv.Itoa(n+1)+"] : 'server' : unknown keyword")
		}
	}
	found := blame(m, "/x/haproxy.cfg", strings.Join(alerts, "\n"))
	if len(found) != 1 || found[0].service != "web" || len(found[0].servers) != 2 {
		t.Fatalf("found %+v", found)
	}
	above, _, _ := strings.Cut(text, "backend web")
	title := 1 + strings.Count(above, "\n")
	alerts = append(alerts, "[ALERT] (1) : config : parsing [/x/haproxy.cfg:"+strconv.Itoa(title)+"] : something else")
	if found := blame(m, "/x/haproxy.cfg", strings.Join(alerts, "\n")); len(found) != 1 || found[0].servers != nil {
		t.Errorf("more than servers is at fault, found %+v", found)
	}
}
