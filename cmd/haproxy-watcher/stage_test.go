package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"smartstack/test/servers"
)

// asProgram is set where the test binary is to be haproxy-watcher itself.
const asProgram = "HAPROXY_WATCHER_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// stage is a haproxy-watcher as a process of its own, with a web service.
type stage struct {
	testing.TB
	dir     string // short, for the sockets
	port    int
	web     string // address of the service
	slow    chan struct{}
	program string              // haproxy-watcher; empty = this test's own
	user    *syscall.Credential // as whom it runs; nil = as the test
	cmd     *exec.Cmd
	gone    chan struct{}
	exited  error
}

func newStage(t testing.TB) *stage {
	t.Helper()
	servers.HAProxyBin(t)
	dir, err := os.MkdirTemp("", "hw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{TB: t, dir: dir, port: servers.FreePort(t), slow: make(chan struct{})}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-s.slow
		}
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	s.web = web.Listener.Addr().String()
	if err := os.Mkdir(s.path("etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stage) args(more ...string) []string {
	return append([]string{"--run-dir", s.path("run"), "--haproxy", servers.HAProxyBin(s)}, more...)
}

func (s *stage) start(more ...string) {
	s.Helper()
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	if s.program != "" {
		self = s.program
	}
	log, err := os.Create(s.path("log"))
	if err != nil {
		s.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(self, s.args(append(more, s.path("etc"))...)...)
	s.cmd.Env = append(os.Environ(), asProgram+"=1")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.user}
	if err := s.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.gone = make(chan struct{})
	go func() {
		s.exited = s.cmd.Wait()
		close(s.gone)
	}()
	s.Cleanup(func() {
		s.signal(syscall.SIGINT)
		s.awaitEnd()
		if s.Failed() {
			s.Logf("log:\n%s", s.log())
		}
	})
}

func (s *stage) signal(sig syscall.Signal) { _ = s.cmd.Process.Signal(sig) }

func (s *stage) awaitEnd() {
	s.Helper()
	select {
	case <-s.gone:
	case <-time.After(servers.Deadline):
		_ = s.cmd.Process.Kill()
		s.Error("haproxy-watcher does not end")
	}
}

func (s *stage) log() string {
	data, _ := os.ReadFile(s.path("log")) // empty = nothing was said
	return string(data)
}

func (s *stage) says(words string) {
	s.Helper()
	servers.Eventually(s, func() error {
		if !strings.Contains(s.log(), words) {
			return fmt.Errorf("the log does not say %q:\n%s", words, s.log())
		}
		return nil
	})
}

// config is a good file; mark comes back in a header.
func (s *stage) config(mark string) string {
	return fmt.Sprintf(`defaults
	mode http
	timeout connect 2s
	timeout client 1m
	timeout server 1m
frontend web
	bind 127.0.0.1:%d
	http-response set-header X-Mark %s
	default_backend web
backend web
	server a %s
`, s.port, mark, s.web)
}

func (s *stage) put(text string) {
	s.Helper()
	path := s.path("etc/haproxy.cfg")
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.Fatal(err)
	}
}

// mark asks the service on a new connection and returns which file answered.
func (s *stage) mark() (string, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := c.Get("http://127.0.0.1:" + strconv.Itoa(s.port) + "/")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("%s: %q", r.Status, body)
	}
	return r.Header.Get("X-Mark"), err
}

func (s *stage) serves(mark string) {
	s.Helper()
	servers.Eventually(s, func() error {
		got, err := s.mark()
		if err == nil && got != mark {
			err = fmt.Errorf("served by %q, want %q", got, mark)
		}
		return err
	})
}

// openSlow begins a request that ends with the closing of s.slow. Nothing keeps
// its connection open then.
func (s *stage) openSlow() (*http.Response, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return c.Get(fmt.Sprintf("http://127.0.0.1:%d/slow", s.port))
}

// health asks as a container's health check does.
func (s *stage) health() (code int, said string) {
	out, err := os.CreateTemp(s.dir, "health")
	if err != nil {
		s.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	code = run(s.Context(), s.args("health"), os.Environ(), out, out)
	data, err := os.ReadFile(out.Name())
	if err != nil {
		s.Fatal(err)
	}
	return code, string(data)
}

// loaded waits until the watcher says that HAProxy runs with the file as it is.
func (s *stage) loaded() {
	s.Helper()
	text, err := os.ReadFile(s.path("etc/haproxy.cfg"))
	if err != nil {
		s.Fatal(err)
	}
	sum := sha256.Sum256(text)
	servers.Eventually(s, func() error {
		var h health
		_, said := s.health()
		if err := json.Unmarshal([]byte(said), &h); err != nil || h.File.Loaded != hex.EncodeToString(sum[:6]) {
			return fmt.Errorf("%v, %s", err, said)
		}
		return nil
	})
}

// ask sends a command to HAProxy's master; empty = it does not answer.
func (s *stage) ask(cmd string) string {
	c, err := net.Dial("unix", s.path("run/master/master.sock"))
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, cmd+"\n")
	if u, ok := c.(*net.UnixConn); ok {
		_ = u.CloseWrite()
	}
	text, _ := io.ReadAll(c)
	return string(text)
}

// pids returns the processes that HAProxy has here: the master and its workers.
func (s *stage) pids() (master int, workers []int) {
	for line := range strings.Lines(s.ask("show proc")) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		pid, err := strconv.Atoi(f[0])
		if err != nil {
			continue
		}
		if f[1] == "master" {
			master = pid
		} else {
			workers = append(workers, pid)
		}
	}
	return master, workers
}

// hammer lets n clients ask until stop, which returns the count and the errors.
func (s *stage) hammer(n int) (stop func() (int64, []error)) {
	var sent atomic.Int64
	quit := make(chan struct{})
	failed := make([][]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if _, err := s.mark(); err != nil {
					failed[i] = append(failed[i], err)
				}
				sent.Add(1)
			}
		})
	}
	return func() (int64, []error) {
		close(quit)
		all.Wait()
		var list []error
		for _, errs := range failed {
			list = append(list, errs...)
		}
		return sent.Load(), list
	}
}
