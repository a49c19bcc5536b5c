//go:build page

package stories

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"smartstack/test/servers"
)

const monitoring = "../../docs/monitoring"

// prometheus runs a real one that scrapes synapse and loads our rules, and
// returns its address.
func prometheus(s *stage) string {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		servers.Missing(s.T, "prometheus")
	}
	rules, err := filepath.Abs(monitoring + "/alerts.yaml")
	if err != nil {
		s.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"- {job_name: synapse, static_configs: [{targets: [%q]}]}\n- {job_name: haproxy, metrics_path: /metrics/haproxy, static_configs: [{targets: [%q]}]}\n", rules, s.page, s.page)
	if err := os.WriteFile(s.path("prometheus.yaml"), []byte(config), 0o644); err != nil {
		s.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(s.T))
	p := servers.Program(s.T, "prometheus", path, "--config.file="+s.path("prometheus.yaml"), "--storage.tsdb.path="+s.path("tsdb"), "--web.listen-address="+address)
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("prometheus:\n%s", p.Log())
		}
	})
	return address
}

// query asks Prometheus and returns the answer's data.
func query(s *stage, address, path string) (data struct {
	Groups []struct {
		Rules []struct{ Name, Health, State string }
	}
	ActiveTargets []struct{ Health, LastError string }
	Result        []json.RawMessage
}, err error) {
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+address+"/api/v1/"+path, http.NoBody)
	if err != nil {
		return data, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return data, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return data, err
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		return data, fmt.Errorf("%s: %s %w", path, answer.Error, errors.Join(err, errors.New("is no success")))
	}
	return data, json.Unmarshal(answer.Data, &data)
}

func TestARealPrometheusScrapesAlertsAndDraws(t *testing.T) {
	s := newStage(t)
	s.prepare()
	address := prometheus(s)
	servers.Eventually(t, func() error {
		d, err := query(s, address, "targets?state=active")
		if err != nil {
			return err
		}
		up := 0
		for _, target := range d.ActiveTargets {
			if target.Health == "up" {
				up++
			} else if target.LastError != "" {
				return errors.New(target.LastError)
			}
		}
		if up != 2 {
			return fmt.Errorf("%d of 2 targets are up", up)
		}
		return nil
	})
	servers.Eventually(t, func() error {
		d, err := query(s, address, "rules")
		if err != nil {
			return err
		}
		states, n := map[string]string{}, 0
		for _, g := range d.Groups {
			for _, r := range g.Rules {
				if n++; r.Health != "ok" {
					return fmt.Errorf("rule %s is %s", r.Name, r.Health)
				}
				states[r.Name] = r.State
			}
		}
		for _, want := range []string{"SynapseNoBackends", "SynapseRefused", "SynapseRejectedEntries"} {
			if states[want] == "inactive" || states[want] == "" {
				return fmt.Errorf("%s does not notice the prepared fault: %q of %d rules", want, states[want], n)
			}
		}
		return nil
	})
	text, err := os.ReadFile(monitoring + "/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, expr := range expressions(t, text) {
		if _, err := query(s, address, "query?query="+url.QueryEscape(expr)); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
	known := documented(t)
	rules, _ := os.ReadFile(monitoring + "/alerts.yaml")
	for _, name := range regexp.MustCompile(`\bsmartstack_[a-z_]+`).FindAllString(string(text)+string(rules), -1) {
		if !known[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("%s is used, and docs/observe.md does not have it", name)
		}
	}
	for _, path := range []string{"/metrics", "/metrics/haproxy"} {
		for _, name := range exposed(t, s, path) {
			if !known[name] {
				t.Errorf("%s is exposed, and docs/observe.md does not have it", name)
			}
		}
	}
}

// expressions are the dashboard's, with its variables filled in.
func expressions(t *testing.T, text []byte) []string {
	t.Helper()
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			list = append(list, strings.NewReplacer("$instance", ".*", "$__rate_interval", "1m").Replace(target.Expr))
		}
	}
	if len(list) < 10 {
		t.Fatalf("%d expressions", len(list))
	}
	return list
}

// documented are the metrics in docs/observe.md.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/observe.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllSubmatch(text, -1) {
		known[string(m[1])] = true
	}
	return known
}

// exposed are the names that synapse exposes.
func exposed(t *testing.T, s *stage, path string) []string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.page+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}
