package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"smartstack/test/servers"
)

// newSupervised is a stage on which synapse runs HAProxy, with a configuration
// that says no more than it must.
func newSupervised(t *testing.T) *stage {
	t.Helper()
	servers.HAProxyBin(t)
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, dir: dir, registry: registries(t)["file"](), port: servers.FreePort(t)}
	if err := os.Mkdir(s.path("cfg"), 0o755); err != nil {
		t.Fatal(err)
	}
	// Where the helpers of the stage look for the socket.
	if err := os.Symlink(s.path("cfg/.synapse/haproxy/stats.sock"), s.path("stats.sock")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("haproxy.cfg:\n%s\nsynapse:\n%s", s.config(), s.synapse.Log())
		}
		s.synapse.Stop() // before HAProxy, which it would start again
		if pid := s.masterPID(); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// startSupervising starts synapse; more are further keys of its haproxy
// section, options the server options of the service.
func (s *stage) startSupervising(options string, more object) {
	s.Helper()
	s.writeSupervising(options, more)
	s.synapse = servers.Program(s.T, "synapse", filepath.Join(bin, "synapse"), "-c", s.path("synapse.json"), "--log-format", "text", "--debug")
}

func (s *stage) writeSupervising(options string, more object) {
	s.Helper()
	haproxy := object{"config_file_path": s.path("cfg/haproxy.cfg"), "supervise": true, "bind_address": "127.0.0.1", "restart_interval": 0.2}
	maps.Copy(haproxy, more)
	s.writeJSON("synapse.json", object{
		"services": object{"web": object{
			"discovery": s.registry.watcher,
			"haproxy":   object{"port": s.port, "server_options": "check inter 200 rise 1 fall 2", "backend": strings.Fields(options)},
		}},
		"start_deadline": 1,
		"haproxy":        haproxy,
	})
}

// masterPID returns the pid of HAProxy's master; 0 when there is none.
func (s *stage) masterPID() int {
	data, _ := os.ReadFile(s.path("cfg/.synapse/haproxy/pid"))
	text, _, _ := strings.Cut(string(data), " ")
	pid, err := strconv.Atoi(text)
	if err != nil || ended(pid) {
		return 0
	}
	return pid
}

// ended reports whether a process is gone, or is only there until somebody asks
// how it ended, which in a container nobody may ever do.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// synapse is killed, restarted, told to end, and told to change: HAProxy goes
// on serving, and stays the same.
func TestSupervisedHAProxyOutlivesSynapse(t *testing.T) {
	s := newSupervised(t)
	web1 := s.newHost("web1")
	s.newHost("web2")
	s.startSupervising("", nil)
	s.awaitServing("web1", "web2")
	s.awaitLog(s.synapse, "reloaded HAProxy") // the first time: it was started
	master, worker := s.masterPID(), s.worker()
	sent, stop := s.traffic()

	s.synapse.Stop() // kill -9 to the whole process group
	s.more(sent, 100)
	s.startSupervising("", nil)
	s.awaitLog(s.synapse, "HAProxy runs already and is adopted")
	s.more(sent, 100)
	s.synapse.Terminate()
	s.more(sent, 100)
	s.startSupervising("", nil)
	s.awaitLog(s.synapse, "HAProxy runs already and is adopted")
	s.awaitLog(s.synapse, "backends changed")
	s.more(sent, 100)
	if now := s.worker(); now != worker {
		t.Errorf("the worker was %s and is %s: a restart of synapse has reloaded HAProxy", worker, now)
	}

	s.writeSupervising("no-such-keyword", nil) // the check holds it up
	hup(s.synapse)
	s.awaitLog(s.synapse, "no-such-keyword")
	s.more(sent, 100)
	s.writeSupervising("", object{"extra_sections": object{"listen more": []string{fmt.Sprintf("bind 127.0.0.1:%d", servers.FreePort(t))}}})
	hup(s.synapse)
	s.awaitLog(s.synapse, "reloaded HAProxy")
	s.awaitServing("web1", "web2")
	s.more(sent, 100)

	s.writeSupervising("", object{"master_socket": s.path("other.sock")})
	hup(s.synapse)
	s.awaitLog(s.synapse, "cannot change while synapse looks after HAProxy")
	s.more(sent, 100)
	stop()
	if now := s.worker(); now == worker {
		t.Error("HAProxy has not loaded the new section")
	}
	if now := s.masterPID(); now != master {
		t.Errorf("HAProxy's master was %d and is %d", master, now)
	}
	web1.stopService()
	s.awaitServing("web2")
}

// HAProxy is killed, with synapse there and without.
func TestSupervisedHAProxyIsKilled(t *testing.T) {
	s := newSupervised(t)
	s.newHost("web1")
	s.startSupervising("", nil)
	s.awaitServing("web1")
	s.awaitLog(s.synapse, `msg="HAProxy is started"`)
	for range 2 {
		killed := s.masterPID()
		if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		servers.Eventually(t, func() error {
			if pid := s.masterPID(); pid == 0 || pid == killed {
				return fmt.Errorf("HAProxy was killed (pid %d) and is %d", killed, pid)
			}
			return nil
		})
		s.awaitServing("web1")
	}
	s.awaitLog(s.synapse, "HAProxy has ended and is started again")
	s.newHost("web2")
	s.awaitServing("web1", "web2")

	s.synapse.Stop()
	if err := syscall.Kill(s.masterPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	servers.Eventually(t, func() error {
		if pid := s.masterPID(); pid > 0 {
			return fmt.Errorf("HAProxy (pid %d) still runs", pid)
		}
		return nil
	})
	s.startSupervising("", object{"stop_haproxy_on_exit": true})
	s.awaitServing("web1", "web2")
	s.synapse.Terminate()
	if pid := s.masterPID(); pid > 0 {
		t.Errorf("HAProxy (pid %d) still runs, although synapse was to end it", pid)
	}
}

// HAProxy passes a file and ends with it. The one of before serves again at once,
// with what changes meanwhile, and the bad one is not tried again.
func TestSupervisedHAProxyEndsWithAFile(t *testing.T) {
	s := newSupervised(t)
	s.newHost("web1")
	global := []string{"stats socket " + s.path("cfg/.synapse/haproxy/stats.sock") + " mode 660 level admin expose-fd listeners"}
	s.startSupervising("", object{"global": global})
	s.awaitServing("web1")
	s.awaitLog(s.synapse, "reloaded HAProxy")

	bad := slices.Concat(global, []string{`chroot "/no/such/directory"`})
	s.writeSupervising("", object{"global": bad})
	hup(s.synapse)
	s.awaitLog(s.synapse, "that stays as it was")
	s.awaitServing("web1")
	s.newHost("web2")
	s.awaitServing("web1", "web2")
	met := func() int { return strings.Count(s.synapse.Log(), `main()] Cannot chroot`) }
	before := met()
	s.writeSupervising("", object{"global": bad, "restart_interval": 0.3})
	hup(s.synapse)
	s.newHost("web3")
	s.awaitServing("web1", "web2", "web3")
	if after := met(); before == 0 || after != before {
		t.Errorf("HAProxy has met the bad file %d times, and then again: %d", before, after)
	}
	if text := s.config(); strings.Contains(text, "chroot") {
		t.Errorf("the file says\n%s", text)
	}

	// Neither does a start of both, as after the host's own.
	s.synapse.Stop()
	if err := syscall.Kill(s.masterPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.startSupervising("", object{"global": bad})
	s.awaitLog(s.synapse, "that stays as it was")
	s.awaitServing("web1", "web2", "web3")
}
