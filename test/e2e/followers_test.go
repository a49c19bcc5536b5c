package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// publishedWatcher behaves as the shell script that was published for a HAProxy
// in a container of its own: a new inotifywait for each event, and only
// haproxy.cfg counts. What happens between two of them it does not see. It says
// when it is watching, and what it has seen.
const publishedWatcher = `
while file=$(inotifywait -e close_write,moved_to,create --format %f "$1" 2>>"$2/armed"); do
	echo "$file" >>"$2/woken"
done
`

// updates is how many each follower has to see; UPDATES=1000 asks for more.
func updates() int {
	if n, err := strconv.Atoi(os.Getenv("UPDATES")); err == nil {
		return n
	}
	return 10
}

// TestFollowers lets synapse write the file for others that reload HAProxy: the
// shell script of old and haproxy-watcher. Both have to see every update.
func TestFollowers(t *testing.T) {
	if _, err := exec.LookPath("inotifywait"); err != nil {
		servers.Missing(t, "inotify-tools")
	}
	dir, err := os.MkdirTemp("", "followers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{T: t, dir: dir, port: servers.FreePort(t)}
	for _, name := range []string{"etc", "registry", "shell"} {
		if err := os.Mkdir(s.path(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	register := func(n int) {
		t.Helper()
		text := fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"name":"web-1"}`, 20_000+n)
		if err := os.WriteFile(s.path("registry/.new"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(s.path("registry/.new"), s.path("registry/web-1.json")); err != nil {
			t.Fatal(err)
		}
	}
	register(0)
	s.writeJSON("synapse.json", object{
		"services": object{"web": object{
			"discovery": object{"method": "file", "path": s.path("registry"), "stale_after": 0},
			"haproxy":   object{"port": s.port, "bind_address": "127.0.0.1", "server_options": "check"},
		}},
		"haproxy": object{
			"config_file_path": s.path("etc/haproxy.cfg"), "do_socket": false,
			"reload_command": "echo noop", "restart_interval": 0,
		},
	})
	s.synapse = servers.Program(t, "synapse", filepath.Join(bin, "synapse"), "-c", s.path("synapse.json"), "--log-format", "text")
	servers.Eventually(t, func() error { return s.written(0) })

	watcher := servers.Program(t, "haproxy-watcher", filepath.Join(bin, "haproxy-watcher"),
		"--run-dir", s.path("run"), "--haproxy", servers.HAProxyBin(t), "--interval", "0", s.path("etc"))
	t.Cleanup(watcher.Terminate) // a killed one leaves its HAProxy to serve on
	servers.Eventually(t, s.loaded)
	servers.Program(t, "published-watcher", "sh", "-c", publishedWatcher, "sh", s.path("etc"), s.path("shell"))
	for n := 1; n <= updates(); n++ {
		servers.Eventually(t, s.armed)
		seen := s.lines("shell/woken", "haproxy.cfg")
		register(n)
		servers.Eventually(t, func() error {
			if err := s.written(n); err != nil {
				return err
			}
			if got := s.lines("shell/woken", "haproxy.cfg"); got != seen+1 {
				return fmt.Errorf("update %d: the published watcher has seen %d updates, want %d", n, got, seen+1)
			}
			return s.loaded()
		})
	}
	t.Logf("%d updates, all of them seen by both", updates())
}

// written says why the file is not that of update n.
func (s *stage) written(n int) error {
	data, err := os.ReadFile(s.path("etc/haproxy.cfg"))
	if err == nil && !strings.Contains(string(data), fmt.Sprintf("127.0.0.1:%d", 20_000+n)) {
		err = fmt.Errorf("update %d is not in the file", n)
	}
	return err
}

// loaded says why HAProxy does not run with what is in the file.
func (s *stage) loaded() error {
	data, err := os.ReadFile(s.path("etc/haproxy.cfg"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	said, err := s.askWatcher()
	if err == nil && !strings.Contains(said, hex.EncodeToString(sum[:6])) {
		err = fmt.Errorf("haproxy-watcher runs with another file than that of sum %x: %s", sum[:6], said)
	}
	return err
}

// askWatcher returns what haproxy-watcher says of itself.
func (s *stage) askWatcher() (string, error) {
	var d net.Dialer
	client := http.Client{Timeout: servers.Deadline, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", s.path("run/health.sock"))
	}}}
	r, err := client.Get("http://haproxy-watcher/status")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	return string(said), err
}

// armed says that the published watcher does not watch just now.
func (s *stage) armed() error {
	if armed, woken := s.lines("shell/armed", "Watches established"), s.lines("shell/woken", ""); armed != woken+1 {
		return fmt.Errorf("the published watcher has begun to watch %d times and was woken %d times", armed, woken)
	}
	return nil
}

func (s *stage) lines(name, with string) int {
	data, _ := os.ReadFile(s.path(name)) // none = it is not there yet
	count := 0
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, with) {
			count++
		}
	}
	return count
}
