package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"smartstack/test/servers"
)

// bin is the folder of the programs under test.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "smartstack-bin")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		for _, program := range []string{"nerve", "synapse", "haproxy-watcher"} {
			out, err := exec.Command("go", "build", "-race", "-o", filepath.Join(dir, program), "smartstack/cmd/"+program).CombinedOutput()
			if err != nil {
				fmt.Fprintf(os.Stderr, "building %s: %v\n%s", program, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// stage is one host with everything on it.
type stage struct {
	*testing.T
	dir      string // short: a unix socket's path is limited to 107 bytes
	registry registry
	port     int // of the service's frontend
	haproxy  *servers.Process
	synapse  *servers.Process
	extra    map[string]any // further keys of the service in synapse's file
}

// object is a piece of configuration.
type object = map[string]any

// registry knows how the programs are told about one kind of registry.
type registry struct {
	name     string
	server   *servers.Process // nil for the file registry
	reporter object
	watcher  object
}

// registries starts a server where one is needed.
func registries(t *testing.T) map[string]func() registry {
	return map[string]func() registry{
		"file": func() registry {
			dir := filepath.Join(t.TempDir(), "web")
			return registry{
				name:     "file",
				reporter: object{"reporter_type": "file", "path": dir},
				watcher:  object{"method": "file", "path": dir},
			}
		},
		"zookeeper": func() registry {
			zk := servers.ZooKeeper(t)
			return registry{
				name: "zookeeper", server: zk,
				reporter: object{"reporter_type": "zookeeper", "zk_hosts": []string{zk.Addr}, "zk_path": "/services/web", "zk_session_timeout": 2},
				watcher:  object{"method": "zookeeper", "hosts": []string{zk.Addr}, "path": "/services/web", "session_timeout": 2},
			}
		},
		"etcd": func() registry {
			etcd := servers.Etcd(t)
			host, port, _ := net.SplitHostPort(etcd.Addr)
			return registry{
				name: "etcd", server: etcd,
				reporter: object{"reporter_type": "etcd", "etcd_host": host, "etcd_port": port, "etcd_path": "/services/web"},
				watcher:  object{"method": "etcd", "hosts": []string{etcd.Addr}, "path": "/services/web"},
			}
		},
	}
}

// newStage starts HAProxy with an empty configuration; the story starts the
// rest.
func newStage(t *testing.T, r registry) *stage {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{T: t, dir: dir, registry: r, port: servers.FreePort(t), extra: object{}}
	if err := os.Mkdir(filepath.Join(dir, "cfg"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("cfg/haproxy.cfg", "global\n\t"+s.statsLine()+"\ndefaults\n\tmode http\n\ttimeout connect 1s\n\ttimeout client 10s\n\ttimeout server 10s\n")
	s.haproxy = servers.HAProxy(t, s.path("cfg/haproxy.cfg"), s.path("stats.sock"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("haproxy.cfg:\n%s\nhaproxy:\n%s", s.config(), s.haproxy.Log())
			if s.synapse != nil {
				t.Logf("synapse:\n%s", s.synapse.Log())
			}
		}
	})
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) statsLine() string {
	return "stats socket " + s.path("stats.sock") + " mode 600 level admin expose-fd listeners"
}

func (s *stage) write(name, text string) {
	s.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

func (s *stage) writeJSON(name string, v any) {
	s.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.Fatal(err)
	}
	s.write(name, string(data))
}

// config returns what haproxy.cfg says now.
func (s *stage) config() string {
	data, _ := os.ReadFile(s.path("cfg/haproxy.cfg"))
	return string(data)
}

// writeSynapse writes synapse's configuration.
func (s *stage) writeSynapse() {
	s.Helper()
	web := object{
		"discovery": s.registry.watcher,
		"haproxy":   object{"port": s.port, "server_options": "check inter 200 rise 1 fall 2", "backend": []string{"option redispatch 1"}},
	}
	maps.Copy(web, s.extra)
	s.writeJSON("synapse.json", object{
		"services":       object{"web": web},
		"start_deadline": 1,
		"haproxy": object{
			"bind_address":     "127.0.0.1",
			"config_file_path": s.path("cfg/haproxy.cfg"),
			"socket_file_path": s.path("stats.sock"),
			"reload_command":   fmt.Sprintf("kill -USR2 %d", s.haproxy.PID()),
			"restart_interval": 0.2,
			"global":           []string{s.statsLine(), "hard-stop-after 20s"},
			"defaults": []string{
				"mode http", "timeout connect 1s", "timeout client 10s", "timeout server 10s",
				"retries 3", "retry-on conn-failure empty-response response-timeout",
			},
		},
	})
}

// startSynapse starts synapse with the configuration of writeSynapse.
func (s *stage) startSynapse() {
	s.Helper()
	s.writeSynapse()
	s.synapse = servers.Program(s.T, "synapse", filepath.Join(bin, "synapse"), "-c", s.path("synapse.json"), "--log-format", "text")
}

// host is one pretended host: an HTTP service and the nerve that watches it.
type host struct {
	stage  *stage
	name   string
	port   int
	server *httptest.Server
	nerve  *servers.Process

	release string // that the service answers with, behind its name; may be empty
	service object // further keys of the service in nerve's file
	top     object // and of that file
}

// newHost starts a service and its nerve.
func (s *stage) newHost(name string) *host {
	s.Helper()
	h := &host{stage: s, name: name, port: servers.FreePort(s.T)}
	h.startService()
	s.writeJSON(name+".json", h.nerveConfig(h.port))
	h.nerve = servers.Program(s.T, "nerve-"+name, filepath.Join(bin, "nerve"), "-c", s.path(name+".json"), "--log-format", "text")
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("nerve %s:\n%s", name, h.nerve.Log())
		}
	})
	return h
}

func (h *host) nerveConfig(port int) object {
	web := object{
		"host": "127.0.0.1", "port": port, "check_interval": 0.1,
		"checks": []object{{"type": "http", "uri": "/health", "timeout": 1, "rise": 1, "fall": 1}},
	}
	maps.Copy(web, h.stage.registry.reporter)
	return object{"instance_id": h.name, "services": object{"web": web}}
}

// startService listens on the host's port.
func (h *host) startService() {
	h.stage.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", h.port))
	if err != nil {
		h.stage.Fatal(err)
	}
	text := strings.TrimSpace(h.name + " " + h.release)
	h.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
	_ = h.server.Listener.Close()
	h.server.Listener = l
	h.server.Start()
	h.stage.Cleanup(h.server.Close)
}

// stopService ends the service as a crash would: connections are cut.
func (h *host) stopService() {
	h.server.CloseClientConnections()
	h.server.Close()
}

// serving asks HAProxy which servers of web may get traffic.
func (s *stage) serving() ([]string, error) {
	answer, err := s.ask("show stat")
	if err != nil {
		return nil, err
	}
	var up []string
	for line := range strings.SplitSeq(answer, "\n") {
		cells := strings.Split(line, ",")
		if len(cells) > 18 && cells[0] == "web" && cells[1] != "BACKEND" && cells[1] != "FRONTEND" && strings.HasPrefix(cells[17], "UP") {
			name, _, _ := strings.Cut(cells[1], "_")
			up = append(up, name)
		}
	}
	slices.Sort(up)
	return up, nil
}

// ask sends one command to HAProxy.
func (s *stage) ask(command string) (string, error) {
	c, err := net.DialTimeout("unix", s.path("stats.sock"), time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// awaitServing waits until HAProxy serves web by just these hosts.
func (s *stage) awaitServing(want ...string) {
	s.Helper()
	servers.Eventually(s.T, func() error {
		got, err := s.serving()
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("HAProxy serves web by %v, want %v", got, want)
		}
		return nil
	})
}

// awaitLog waits until a program has said something.
func (s *stage) awaitLog(p *servers.Process, text string) {
	s.Helper()
	servers.Eventually(s.T, func() error {
		if !strings.Contains(p.Log(), text) {
			return fmt.Errorf("the log has no %q", text)
		}
		return nil
	})
}

// get sends one request through HAProxy and returns the answering host.
func (s *stage) get(c *http.Client) (string, error) {
	resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d/", s.port))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return string(body), err
}

// traffic sends requests all the time, on kept and on new connections, until
// stop is called, which fails the test if one of them failed.
func (s *stage) traffic() (sent *atomic.Int64, stop func()) {
	s.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		done  = make(chan struct{})
	)
	sent = new(atomic.Int64)
	for i := range 4 {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		group.Go(func() {
			defer client.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := s.get(client); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("at %s: %w", time.Now().Format("15:04:05.000"), err))
					mu.Unlock()
				}
				sent.Add(1)
			}
		})
	}
	return sent, sync.OnceFunc(func() {
		close(done)
		group.Wait()
		if len(errs) > 0 {
			s.Errorf("%d of %d requests failed, the first: %v", len(errs), sent.Load(), errors.Join(errs[:min(len(errs), 5)]...))
		}
	})
}

// more waits until n further requests have been answered.
func (s *stage) more(sent *atomic.Int64, n int64) {
	s.Helper()
	want := sent.Load() + n
	servers.Eventually(s.T, func() error {
		if have := sent.Load(); have < want {
			return fmt.Errorf("%d requests, want %d", have, want)
		}
		return nil
	})
}

// hup asks a program to read its configuration again.
func hup(p *servers.Process) { p.Signal(syscall.SIGHUP) }
