package haproxy

import (
	"strings"
	"testing"

	"smartstack/haproxy/socket"
)

func TestBackendsThatTheFileDoesNotHave(t *testing.T) {
	file := content{preamble: []byte("\nlisten stats\n\tbind :1\n"), stanzas: texts{most: map[string][]byte{"web": []byte("\nbackend web\n")}}}
	m := metWith("\nbackend web\n\nbackend stats\n\nbackend theirs\n\nbackend old\n")
	if got := m.beside(file); len(got) != 2 || !got["theirs"] || !got["old"] {
		t.Error(got)
	}
}

func TestSignsOfAnotherFile(t *testing.T) {
	file := "\nfrontend web\n\tbind :1\n\tdefault_backend web\n\nbackend web\n\tbalance leastconn\n\tserver a 127.0.0.1:1 id 1 check maxconn 5\n\tserver b 127.0.0.1:2 id 2 backup weight 3\n"
	as := func() *Met {
		m := metWith(file)
		m.frontends["web"], m.algorithms["web"] = true, "leastconn"
		m.Backends["web"][0].Checked = true
		m.stats = map[ServerRef]socket.Stat{{"web", "a"}: {MaxConn: "5"}, {"web", "b"}: {Backup: true}}
		return m
	}
	for _, tc := range []struct {
		name           string
		change         func(m *Met)
		started, else_ string // what is said of a process that has just started, and of one that another synapse may have changed
	}{
		{"as in the file", func(*Met) {}, "", ""},
		{"weight and address", func(m *Met) { m.Backends["web"][1].Weight, m.Backends["web"][1].Addr = 9, "::1" }, "", ""},
		{"frontend", func(m *Met) { delete(m.frontends, "web") }, "has no frontend web", "has no frontend web"},
		{"backend", func(m *Met) { delete(m.algorithms, "web") }, "has no backend web", "has no backend web"},
		{"balance", func(m *Met) { m.algorithms["web"] = "roundrobin" }, "balance roundrobin", "balance roundrobin"},
		{"a balance that it does not name", func(m *Met) { m.algorithms["web"] = "unknown" }, "", ""},
		{"one server less", func(m *Met) { m.Backends["web"] = m.Backends["web"][:1] }, "web/b of the file is missing", ""},
		{"one server more", func(m *Met) { m.Backends["web"] = append(m.Backends["web"], up("c", "127.0.0.1:3", 3)) }, "web/c is not in the file", ""},
		{"id", func(m *Met) { m.Backends["web"][1].ID = 7 }, "web/b has id 7, in the file 2", "web/b has id 7, in the file 2"},
		{"id that an earlier synapse gave", func(m *Met) {
			m.Backends["web"][1].ID = 7
			m.told = map[ServerRef]string{{"web", "b"}: "server b 127.0.0.1:2 id 7 backup weight 3"}
		}, "web/b has id 7, in the file 2", ""},
		{"check", func(m *Met) { m.Backends["web"][0].Checked = false }, "web/a is not what the file says: check", "web/a is not what the file says: check"},
		{"backup", func(m *Met) { m.stats = map[ServerRef]socket.Stat{{"web", "a"}: {MaxConn: "5"}} }, "backup", "backup"},
		{"maxconn", func(m *Met) { m.stats[ServerRef{"web", "a"}] = socket.Stat{MaxConn: "6"} }, `maxconn "6", in the file "5"`, `maxconn "6"`},
	} {
		m := as()
		tc.change(m)
		for started, want := range map[bool]string{true: tc.started, false: tc.else_} {
			got := m.odd(content{stanzas: texts{most: map[string][]byte{"web": []byte(file)}}}, Model{}, started)
			if (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%s, just started %v: %q, want %q", tc.name, started, got, want)
			}
		}
	}
}
