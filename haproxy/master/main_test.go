package master

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/servers"
)

// childConfig is set where the test binary is to be the supervisor itself.
const childConfig = "MASTER_TEST_CONFIG"

func TestMain(m *testing.M) {
	if config := os.Getenv(childConfig); config != "" {
		supervise(config)
		return
	}
	goleak.VerifyTestMain(m)
}

// supervise is a whole program that looks after one HAProxy until it is killed.
func supervise(config string) {
	m, err := New(Options{Path: os.Getenv("HAPROXY_BIN"), Config: config, Env: os.Environ()}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		panic(err)
	}
	_ = m.Run(context.Background())
}

// lines is a log that tests may read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a HAProxy with one web service behind it.
type rig struct {
	*testing.T
	dir, config string
	port, web   int
	extra       string // further lines of global
	options     Options
	master      *Master
	log         lines
	end         func() // ends Run and waits for it
}

func newRig(t *testing.T) *rig {
	t.Helper()
	bin := servers.HAProxyBin(t)
	dir, err := os.MkdirTemp("", "master") // short, for the sockets
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, dir: dir, config: filepath.Join(dir, "haproxy.cfg"), port: servers.FreePort(t)}
	r.options = Options{Path: bin, Config: r.config, Env: os.Environ()}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Cleanup(r.killAll)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-q.Context().Done()
		}
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	r.web = web.Listener.Addr().(*net.TCPAddr).Port
	return r
}

// write writes the file; more comes at its end.
func (r *rig) write(more string) {
	r.Helper()
	text := fmt.Sprintf(`global
	stats socket %s/stats.sock mode 600 level admin expose-fd listeners
%sdefaults
	mode http
	timeout connect 2s
	timeout client 1m
	timeout server 1m
frontend web
	bind 127.0.0.1:%d
	default_backend web
backend web
	server a 127.0.0.1:%d
%s`, r.dir, r.extra, r.port, r.web, more)
	if err := os.WriteFile(r.config+".new", []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(r.config+".new", r.config); err != nil {
		r.Fatal(err)
	}
}

// run starts the supervisor.
func (r *rig) run() {
	r.Helper()
	m, err := New(r.options, slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		r.Fatal(err)
	}
	r.master = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				r.Errorf("Run: %v", err)
			}
		case <-time.After(servers.Deadline):
			r.Error("Run does not end")
		}
	})
	r.Cleanup(func() {
		r.end()
		if r.Failed() {
			r.Logf("log:\n%s", r.log.String())
		}
	})
}

// get asks the service once, on a new connection.
func (r *rig) get() error {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	answer, err := c.Get(r.url("/"))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && string(body) != "hello" {
		err = fmt.Errorf("%s: %q", answer.Status, body)
	}
	return err
}

func (r *rig) url(path string) string { return "http://127.0.0.1:" + strconv.Itoa(r.port) + path }

func (r *rig) serves() {
	r.Helper()
	servers.Eventually(r.T, r.get)
}

func (r *rig) awaitLog(text string) {
	r.Helper()
	servers.Eventually(r.T, func() error {
		if !strings.Contains(r.log.String(), text) {
			return fmt.Errorf("no %q in the log:\n%s", text, r.log.String())
		}
		return nil
	})
}

// awaitStatus waits until the status is as wanted.
func (r *rig) awaitStatus(wanted func(Status) bool) Status {
	r.Helper()
	servers.Eventually(r.T, func() error {
		if s := r.master.Status(); !wanted(s) {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	return r.master.Status()
}

func serving(s Status) bool { return s.PID > 0 && len(s.Current) == 1 }

func (r *rig) reload() error {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), servers.Deadline)
	defer cancel()
	return r.master.Reload(ctx)
}

// killAll kills what was left running, by the socket in its command line.
func (r *rig) killAll() {
	o, err := r.options.Complete()
	if err != nil {
		return
	}
	servers.Eventually(r.T, func() error {
		found, err := o.relatives()
		if err != nil {
			return err
		}
		for _, e := range append(found[ours], found[rival]...) {
			_ = syscall.Kill(e.pid, syscall.SIGKILL)
		}
		if n := len(found[ours]) + len(found[rival]); n > 0 {
			return fmt.Errorf("%d processes left", n)
		}
		return nil
	})
}

// hammer lets n clients call the service until stop is called, which returns
// how many requests were sent and the errors.
func (r *rig) hammer(n int) (sent *atomic.Int64, stop func() []error) {
	sent = new(atomic.Int64)
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
				if err := r.get(); err != nil {
					failed[i] = append(failed[i], err)
				}
				sent.Add(1)
			}
		})
	}
	return sent, func() []error {
		close(quit)
		all.Wait()
		var list []error
		for _, errs := range failed {
			list = append(list, errs...)
		}
		return list
	}
}
