package stories

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/test/servers"
)

const (
	evil  = `<script>window.evil=1</script>`
	token = "0123456789abcdef0123456789abcdef"
)

// sidecar is a host with nerve on it, and three services: one that is up, one
// that is down, and one with the name of an attack.
type sidecar struct {
	dir  string // short: a unix socket's path is limited to 107 bytes
	page string // host:port, which asks for the token

	process *servers.Process
}

func newSidecar(t *testing.T, control ...object) *sidecar {
	t.Helper()
	dir, err := os.MkdirTemp("", "sc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	_, port, _ := strings.Cut(web.Listener.Addr().String(), ":")
	s := &sidecar{dir: dir, page: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))}
	service := func(name, checked string) object {
		return object{
			"host": "127.0.0.1", "port": json.Number(port), "weight": 7, "reporter_type": "file", "path": s.path("reg/" + name),
			"checks": []object{{"type": "tcp", "port": json.Number(checked), "timeout": 5}},
		}
	}
	answers := object{"socket": s.path("s.sock"), "listen": s.page, "token_file": s.path("token")}
	for _, o := range control {
		maps.Copy(answers, o)
	}
	text, err := json.Marshal(object{
		"instance_id": "i-1", "state_file": s.path("state"),
		"control":  answers,
		"services": object{"up": service("up", port), "down": service("down", "9"), evil: service("evil", "9")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"n.json": string(text), "token": token} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.process = servers.Program(t, "nerve", nerve, "-c", s.path("n.json"), "--log-format", "text")
	t.Cleanup(func() {
		s.process.Terminate()
		if t.Failed() {
			t.Logf("nerve:\n%s", s.process.Log())
		}
	})
	awaitReady(t, s.page)
	return s
}

func (s *sidecar) path(name string) string { return filepath.Join(s.dir, name) }

// get returns the answer to a request, of a page at host:port.
func get(t *testing.T, page, path, bearer string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", path, res.Status, err, text)
	}
	return string(text)
}

func TestNerveAnswersAsItsSchemasSay(t *testing.T) {
	s := newSidecar(t)
	for _, args := range [][]string{{"status"}, {"down", "up", "--for", "10m", "--reason", "a test"}, {"weight", "up", "3"}, {"status", "up"}} {
		code, out := ask(t, nerve, append(args, "--json", "--socket", s.path("s.sock"))...)
		if code != 0 && args[0] != "status" {
			t.Errorf("%v: exit status %d\n%s", args, code, out)
		}
		follows(t, out, servicesSchema)
	}
	follows(t, get(t, s.page, "/status?backends", token), statusSchema)
	follows(t, get(t, s.page, "/services", token), servicesSchema)
}
