package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

// mounted is a haproxy-watcher that follows a folder, with a service behind its
// HAProxy.
type mounted struct {
	b       *testing.B
	dir     string
	address string
	service int // the port behind
	watcher *servers.Process
}

// newMounted starts haproxy-watcher as it is started in its container. The
// first file is loaded when it returns.
func newMounted(b *testing.B) *mounted {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench") // short, for HAProxy's sockets
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &mounted{b: b, dir: dir, address: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(b)), service: healthy(b, 1)[0]}
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		b.Fatal(err)
	}
	m.put("first")
	m.watcher = servers.Program(b, "haproxy-watcher", program(b, "haproxy-watcher"),
		"--run-dir", filepath.Join(dir, "run"), "--haproxy", servers.HAProxyBin(b), filepath.Join(dir, "etc"))
	b.Cleanup(m.watcher.Terminate)
	m.await(m.address, "first")
	return m
}

// config is a file whose HAProxy adds the mark to each answer.
func (m *mounted) config(address, mark string) string {
	return "defaults\n\t" + strings.Join(defaults(), "\n\t") +
		"\nlisten web\n\tbind " + address + "\n\thttp-response set-header X-Mark " + mark +
		fmt.Sprintf("\n\tserver s0 127.0.0.1:%d\n", m.service)
}

// put renames a new file into its place.
func (m *mounted) put(mark string) {
	m.b.Helper()
	staged := filepath.Join(m.dir, "staged")
	if err := os.WriteFile(staged, []byte(m.config(m.address, mark)), 0o644); err != nil {
		m.b.Fatal(err)
	}
	if err := os.Rename(staged, filepath.Join(m.dir, "etc", "haproxy.cfg")); err != nil {
		m.b.Fatal(err)
	}
}

// await asks every millisecond, on a new connection, until the answer comes by
// the file with this mark.
func (m *mounted) await(address, mark string) {
	m.b.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var last error
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); <-tick.C {
		resp, err := client.Get("http://" + address + "/")
		if last = err; err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.Header.Get("X-Mark") == mark {
			return
		}
	}
	m.b.Fatalf("HAProxy does not run with file %s (last error: %v)", mark, last)
}

// ownStart is what HAProxy takes by itself for one check of such a file and one
// start, up to its first answer.
func (m *mounted) ownStart() time.Duration {
	m.b.Helper()
	path, address := filepath.Join(m.dir, "own.cfg"), fmt.Sprintf("127.0.0.1:%d", servers.FreePort(m.b))
	if err := os.WriteFile(path, []byte(m.config(address, "own")), 0o644); err != nil {
		m.b.Fatal(err)
	}
	ctx, end := context.WithCancel(m.b.Context())
	began := time.Now()
	if out, err := exec.CommandContext(ctx, servers.HAProxyBin(m.b), "-c", "-f", path).CombinedOutput(); err != nil {
		m.b.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(ctx, servers.HAProxyBin(m.b), "-db", "-f", path)
	if err := cmd.Start(); err != nil {
		m.b.Fatal(err)
	}
	m.await(address, "own")
	took := time.Since(began)
	end()
	_ = cmd.Wait()
	return took
}

// BenchmarkWatcher is the time from a change of the mounted file to the first
// answer by it, once a second, and the memory afterwards.
func BenchmarkWatcher(b *testing.B) {
	m := newMounted(b)
	for i := range b.N {
		var changes, own []time.Duration
		for n := range 30 {
			own = append(own, m.ownStart())
			<-time.After(time.Second)
			mark := fmt.Sprintf("change-%d-%d", i, n)
			began := time.Now()
			m.put(mark)
			m.await(m.address, mark)
			changes = append(changes, time.Since(began))
		}
		note(b, "watcher", "a changed file to the first answer by it, beyond HAProxy's own check and start", atMost(150, "150 ms"),
			val("median", quantile(changes, 0.5)-quantile(own, 0.5), "ms"), val("in all: median", quantile(changes, 0.5), "ms"),
			val("p99", quantile(changes, 0.99), "ms"), val("HAProxy's own: median", quantile(own, 0.5), "ms"))
		note(b, "watcher", "haproxy-watcher's memory after 30 changes", atMost(15, "15 MB"), val("", resident(b, m.watcher.PID()), "MB"))
	}
}

// BenchmarkWatcherReloads changes the mounted file twice a second while 1,000
// requests a second flow: none of 100,000 may fail.
func BenchmarkWatcherReloads(b *testing.B) {
	const clients, perSecond = 50, 1000
	m := newMounted(b)
	for i := range b.N {
		before := m.loaded()
		quit, done := make(chan struct{}), make(chan struct{})
		began := time.Now()
		t := startPaced(m.address, clients/2, time.Second*clients/perSecond)
		go func() {
			defer close(done)
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
					m.put(fmt.Sprintf("reload-%d-%d", i, n))
				case <-quit:
					return
				}
			}
		}()
		t.await(enough)
		close(quit)
		<-done
		rate := float64(t.sent.Load()) / time.Since(began).Seconds()
		t.finish(b, "watcher", "a new file twice a second", atMost(0, "none"), enough,
			val("a second", rate, "requests"), val("reloads", float64(m.loaded()-before), ""))
		if n := t.failed.Load(); n > 0 {
			b.Errorf("%d requests failed", n)
		}
	}
}

// loaded is how often HAProxy has taken a file.
func (m *mounted) loaded() int {
	m.b.Helper()
	var health struct {
		File struct{ Reloads int } `json:"file"`
	}
	servers.Eventually(m.b, func() error { // it learns of a worker a moment later than its clients
		said, err := exec.CommandContext(m.b.Context(), program(m.b, "haproxy-watcher"), "--run-dir", filepath.Join(m.dir, "run"), "health").Output()
		if err != nil {
			return fmt.Errorf("haproxy-watcher health: %w: %s", err, said)
		}
		return json.Unmarshal(said, &health)
	})
	return health.File.Reloads
}
