package stories

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

// synapse and nerve are the programs under test.
var synapse, nerve string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "stories-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		synapse, nerve = filepath.Join(dir, "synapse"), filepath.Join(dir, "nerve")
		if out, err := exec.Command("go", "build", "-race", "-o", dir, "smartstack/cmd/synapse", "smartstack/cmd/nerve").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the programs: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// object is a piece of configuration.
type object = map[string]any

// stage is a host with synapse and HAProxy on it.
type stage struct {
	*testing.T
	dir     string // short: a unix socket's path is limited to 107 bytes
	page    string // host:port
	live    string // host:port of a server that answers
	process *servers.Process
}

func newStage(t *testing.T) *stage {
	t.Helper()
	servers.HAProxyBin(t)
	dir, err := os.MkdirTemp("", "st")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	s := &stage{T: t, dir: dir, live: web.Listener.Addr().String(), page: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))}
	if err := os.Mkdir(s.path("cfg"), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// register writes an entry into the registry of a service.
func (s *stage) register(service, entry, text string) {
	s.Helper()
	if err := os.MkdirAll(s.path("reg/"+service), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.path("reg/"+service+"/"+entry+".json"), []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

// backend is what nerve would register.
func backend(address string, more object) string {
	host, port, _ := net.SplitHostPort(address)
	b := object{"host": host, "port": json.Number(port), "name": "w"}
	maps.Copy(b, more)
	text, _ := json.Marshal(b)
	return string(text)
}

// follow is a service of the file registry.
func (s *stage) follow(service string, discovery, haproxy, more object) object {
	d := object{"method": "file", "path": s.path("reg/" + service), "stale_after": 0}
	maps.Copy(d, discovery)
	h := object{"port": servers.FreePort(s.T)}
	maps.Copy(h, haproxy)
	o := object{"discovery": d, "haproxy": h}
	maps.Copy(o, more)
	return o
}

// start runs synapse, which runs HAProxy, and waits until it is ready.
func (s *stage) start(services object) {
	s.Helper()
	text, err := json.MarshalIndent(object{
		"services": services, "start_deadline": 2,
		"control": object{"socket": s.path("s.sock"), "listen": s.page},
		"haproxy": object{"supervise": true, "stop_haproxy_on_exit": true, "config_file_path": s.path("cfg/haproxy.cfg"), "bind_address": "127.0.0.1"},
	}, "", " ")
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.path("s.json"), text, 0o644); err != nil {
		s.Fatal(err)
	}
	s.process = servers.Program(s.T, "synapse", synapse, "-c", s.path("s.json"), "--log-format", "text")
	s.Cleanup(func() {
		s.process.Terminate()
		if s.Failed() {
			s.Logf("synapse:\n%s", s.process.Log())
		}
	})
	awaitReady(s.T, s.page)
}

// awaitReady waits until the program at host:port is ready.
func awaitReady(t *testing.T, page string) {
	t.Helper()
	servers.Eventually(t, func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

// ask runs a subcommand and returns its code and what it printed.
func (s *stage) ask(args ...string) (int, string) {
	s.Helper()
	return ask(s.T, synapse, append(args, "-c", s.path("s.json"))...)
}

func ask(t *testing.T, program string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// tell sends HAProxy a command, as an operator would.
func (s *stage) tell(command string) {
	s.Helper()
	c, err := net.DialTimeout("unix", s.path("cfg/.synapse/haproxy/stats.sock"), 5*time.Second)
	if err != nil {
		s.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(command + "\n")); err != nil {
		s.Fatal(err)
	}
	reply := make([]byte, 1024)
	n, _ := c.Read(reply)
	if text := strings.TrimSpace(string(reply[:n])); text != "" {
		s.Fatalf("%s: %s", command, text)
	}
}
