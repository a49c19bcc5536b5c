package haproxy

import (
	"encoding/json"
	"strings"
	"testing"

	"smartstack/internal/service"
)

// FuzzComposeBackends holds that nothing a registry says about a server starts
// a line or a word of the file.
func FuzzComposeBackends(f *testing.F) {
	f.Add("web", "10.0.0.1", "check", "b/c", "::1", "id 5 weight 999", int64(300), true)
	f.Add("a\n\tlisten x", "h", "a\r\nb", "", "h%\x00", "id id id", int64(-1), false)
	f.Add("a_b", "c", "id 3", "a", "b_c", "id 3", int64(1), true)
	f.Add("%{host}", "h", "%{name} %<port>d %", "x", "h", "100% backup disabled", int64(0), true)
	f.Fuzz(func(t *testing.T, name1, host1, options1, name2, host2, options2 string, weight int64, weights bool) {
		var b service.Builder
		b.Add("1", service.Backend{Name: name1, Host: host1, Port: 80, ServerOptions: options1, Weight: service.KnownInt(weight)})
		b.Add("2", service.Backend{Name: name2, Host: host2, Port: 80, ServerOptions: options2, Backup: weights})
		u := b.Update()
		spec := plain("web")
		spec.Options.UseNerveWeights = optional(weights)
		c := NewComposer(Options{}, []ServiceConfig{spec}, "host")
		frame := map[string]bool{}
		for line := range strings.Lines(string(c.Compose(snapshot(svc("web")), testTime).Render())) {
			frame[line] = true
		}
		m := c.Compose(snapshot(svc("web", set(u)...)), testTime)
		lines, names, ids := 0, map[string]bool{}, map[int]bool{}
		for line := range strings.Lines(string(m.Render())) {
			if frame[line] {
				continue
			}
			s := m.Sections[0].Servers[lines]
			lines++
			holdServerLine(t, line, s)
			if names[s.Name] || s.ID > 0 && ids[s.ID] {
				t.Fatalf("name or id twice: %q", line)
			}
			names[s.Name], ids[s.ID] = true, true
		}
		if lines != u.Backends.Len() {
			t.Fatalf("%d server lines for %d backends", lines, u.Backends.Len())
		}
	})
}

func set(u service.Update) (list []service.Backend) {
	for b := range u.Backends.All() {
		list = append(list, b)
	}
	return list
}

// holdServerLine checks that line is the line of s with its words at their
// places.
func holdServerLine(t *testing.T, line string, s Server) {
	t.Helper()
	if lineFault(strings.Trim(line, "\t\n")) != "" || line != "\t"+s.Line()+"\n" {
		t.Fatalf("line %q for %+v", line, s)
	}
	words := strings.Fields(line)
	if words[0] != "server" || words[1] != s.Name || words[2] != s.Address() || legalName(s.Name) != s.Name || len(words) > maxWords {
		t.Fatalf("line %q for %+v", line, s)
	}
}

// FuzzComposeOptions holds that no options from a registry add a section, and
// that none make Compose fail.
func FuzzComposeOptions(f *testing.F) {
	f.Add([]byte(`{"port":80,"listen":["mode tcp","log-forward x"],"backend_name":"x"}`))
	f.Add([]byte(`{"listen":null,"server_options":5,"shared_frontend":["acl x y\nfrontend z"]}`))
	f.Add([]byte(`{"port":"80 a","bind_options":"\u000abackend x"}`))
	f.Add([]byte(`nil`))
	f.Fuzz(func(t *testing.T, options []byte) {
		if !json.Valid(options) {
			return // the watcher takes JSON only
		}
		c := NewComposer(Options{SharedFrontend: []string{}}, []ServiceConfig{plain("web")}, "host")
		m := c.Compose(snapshot(fromData(svc("web", at("h")), string(options))), testTime)
		allowed := map[string]bool{"global": true, "defaults": true, "frontend " + sharedName: true}
		for _, s := range m.Sections {
			allowed["frontend "+s.FrontendName], allowed["backend "+s.BackendName] = true, true
		}
		for line := range strings.Lines(string(m.Render())) {
			if title := titleOf([]byte(line)); title != "" && !allowed[title] {
				t.Fatalf("a section %q", title)
			}
			if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\n\x00") {
				t.Fatalf("line %q", line)
			}
		}
	})
}
