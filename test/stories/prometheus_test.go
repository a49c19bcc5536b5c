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

// prometheus runs a real one that scrapes synapse and nerve and loads our rules,
// and returns its address.
func prometheus(s *stage, n *sidecar) string {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		servers.Missing(s.T, "prometheus")
	}
	rules, err := filepath.Abs(monitoring + "/alerts.yaml")
	if err != nil {
		s.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n"+
		"- {job_name: nerve, authorization: {credentials: %q}, static_configs: [{targets: [%q]}]}\n"+
		"- {job_name: synapse, static_configs: [{targets: [%q]}]}\n- {job_name: haproxy, metrics_path: /metrics/haproxy, static_configs: [{targets: [%q]}]}\n", rules, token, n.page, s.page, s.page)
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
	n := newSidecar(t)
	if code, out := ask(t, nerve, "down", "up", "--socket", n.path("s.sock")); code != 0 {
		t.Fatalf("code %d\n%s", code, out)
	}
	address := prometheus(s, n)
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
		if up != 3 {
			return fmt.Errorf("%d of 3 targets are up", up)
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
		for _, want := range []string{"SynapseNoBackends", "SynapseRefused", "SynapseRejectedEntries", "NerveServiceDown", "NerveOrderForgotten"} {
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
		servers.Eventually(t, func() error { // rates need two scrapes
			d, err := query(s, address, "query?query="+url.QueryEscape(expr))
			faultless := strings.Contains(expr, "smartstack_haproxy_fault") // there is a series while something is broken
			if err == nil && len(d.Result) == 0 && !faultless {
				err = fmt.Errorf("%s gives no data", expr)
			}
			return err
		})
	}
	known := documented(t)
	rules, _ := os.ReadFile(monitoring + "/alerts.yaml")
	for _, name := range regexp.MustCompile(`\bsmartstack_[a-z_]+`).FindAllString(string(text)+string(rules), -1) {
		if !known[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("%s is used, and docs/observe.md does not have it", name)
		}
	}
	for _, text := range []string{get(t, s.page, "/metrics", ""), get(t, s.page, "/metrics/haproxy", ""), get(t, n.page, "/metrics", token)} {
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				t.Errorf("%s is exposed, and docs/observe.md does not have it", m[1])
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
