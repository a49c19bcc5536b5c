//go:build docker

package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"smartstack/test/machine"
	"smartstack/test/servers"
)

// fleet is three hosts: two get packages, one bare binaries.
type fleet struct {
	t      *testing.T
	dir    string // what ansible reads
	remote string // where it works on the hosts
	hosts  []*machine.Machine
}

// TestAnsible plays the role for all flavours, with the same two versions.
func TestAnsible(t *testing.T) {
	old, newer := builds(t, "v1.2.3"), builds(t, "v1.2.4")
	t.Run("packages and binaries", func(t *testing.T) { underSystemd(t, old, newer) })
	t.Run("containers", func(t *testing.T) { containers(t, old, newer) })
}

// builds makes packages and binaries of the version for all flavours.
func builds(t *testing.T, version string) string {
	t.Helper()
	dir, root := t.TempDir(), machine.Root(t)
	packages := exec.CommandContext(t.Context(), filepath.Join(root, "deploy/packages.sh"), "-o", filepath.Join(dir, "packages"), "nerve", "synapse")
	packages.Env = append(os.Environ(), "VERSION="+version, "COMPRESSION=none")
	if out, err := packages.CombinedOutput(); err != nil {
		t.Fatalf("deploy/packages.sh: %v\n%s", err, out)
	}
	for _, p := range []string{"nerve", "synapse"} {
		deb, err := filepath.Glob(filepath.Join(dir, "packages/smartstack-"+p+"_*.deb"))
		if err != nil || len(deb) != 1 {
			t.Fatalf("packages of %s: %q, %v", p, deb, err)
		}
		run(t, dir, "dpkg-deb", "-x", deb[0], filepath.Join(dir, "x"))
		run(t, dir, "cp", filepath.Join("x/usr/bin", p), filepath.Join(dir, p))
	}
	return dir
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// start makes the hosts, on each a web service on port 8081 and a program that
// calls it through HAProxy.
func start(t *testing.T) *fleet {
	f := &fleet{t: t, dir: t.TempDir(), remote: "/root/.ansible/tmp"}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(f.dir, "caller"), "./test/caller")
	build.Dir = machine.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("test/caller: %v\n%s", err, out)
	}
	for range 3 {
		m := machine.Host(t)
		m.Copy(filepath.Join(f.dir, "caller"), "/usr/local/bin/caller")
		m.Shell("mkdir -p /srv/web && echo $(hostname) >/srv/web/index.html && systemd-run --quiet --unit web python3 -m http.server 8081 --directory /srv/web")
		f.hosts = append(f.hosts, m)
	}
	// In the order in which they are rolled out.
	slices.SortFunc(f.hosts, func(a, b *machine.Machine) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// play runs the playbook with the variables and returns its recap: what ansible
// says to have changed and failed, by host.
func (f *fleet) play(want string, vars map[string]any, flags ...string) (changed map[string]int, out string) {
	f.t.Helper()
	hosts := map[string]any{}
	for i, m := range f.hosts {
		flavour := "package"
		if i == 2 {
			flavour = "binary"
		}
		hosts[m.Name] = map[string]any{"ansible_connection": "community.docker.docker", "ansible_become": false}
		if _, given := vars["smartstack_flavour"]; !given {
			hosts[m.Name].(map[string]any)["smartstack_flavour"] = flavour
		}
	}
	inventory := map[string]any{"smartstack": map[string]any{"hosts": hosts, "vars": vars}}
	began := time.Now()
	text, err := json.Marshal(inventory)
	if err != nil {
		f.t.Fatal(err)
	}
	file := filepath.Join(f.dir, "hosts.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.CommandContext(f.t.Context(), "ansible-playbook", append([]string{"-i", file, "site.yml"}, flags...)...)
	cmd.Dir = filepath.Join(machine.Root(f.t), "deploy/ansible")
	cmd.Env = append(os.Environ(), "ANSIBLE_REMOTE_TMP="+f.remote, "ANSIBLE_NOCOLOR=1", "ANSIBLE_LOCALHOST_WARNING=false", "ANSIBLE_PIPELINING=1", "ANSIBLE_LOCAL_TEMP="+f.t.TempDir())
	raw, err := cmd.CombinedOutput()
	out = string(raw)
	f.t.Logf("played %v in %v", flags, time.Since(began).Round(time.Second))
	if (err == nil) != (want == "success") {
		f.t.Fatalf("ansible-playbook %v: %v, want %s\n%s", flags, err, want, out)
	}
	changed = map[string]int{}
	for _, line := range regexp.MustCompile(`(?m)^(\S+)\s+: ok=\d+\s+changed=(\d+)`).FindAllStringSubmatch(out, -1) {
		var n int
		fmt.Sscan(line[2], &n)
		changed[line[1]] = n
	}
	return changed, out
}

func (f *fleet) none(when string, changed map[string]int, out string) {
	f.t.Helper()
	for _, m := range f.hosts {
		if n, there := changed[m.Name]; !there || n > 0 {
			f.t.Errorf("%s: %s has %d changes (%v), want none\n%s", when, m.Name, n, there, out)
			return
		}
	}
}

// variables of the whole fleet: the registry is a directory of each host, so
// that no server is needed.
func variables(builds string, port int) map[string]any {
	return map[string]any{
		"smartstack_packages_dir": filepath.Join(builds, "packages"), "smartstack_binaries_dir": builds,
		"smartstack_gate_retries": 20, "smartstack_gate_delay": 1,
		"smartstack_nerve_services": map[string]any{"web": map[string]any{
			"host": "127.0.0.1", "port": 8081, "reporter_type": "file", "path": "/var/lib/nerve/registry/web", "check_interval": 0.2, "drain_wait": 0.1,
			"checks": []any{map[string]any{"type": "tcp", "rise": 1, "fall": 2}},
		}},
		"smartstack_synapse_services": map[string]any{"web": map[string]any{
			"discovery": map[string]any{"method": "base"}, "default_servers": []any{map[string]any{"host": "127.0.0.1", "port": 8081}},
			"haproxy": map[string]any{"port": port, "server_options": "check inter 500", "listen": []string{"mode http"}},
		}},
	}
}

// atOnce plays all hosts at the same time.
func atOnce(vars map[string]any) map[string]any {
	vars["smartstack_serial"] = 3
	return vars
}

const port = 3213

// version is what the program that runs in the machine says of itself.
func version(t *testing.T, m *machine.Machine, bin, program string) string {
	t.Helper()
	out, err := m.Try(bin+"/"+program, "status", "--json")
	var s struct{ Build string }
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%s status: %v\n%s", program, err, out)
	}
	if err != nil {
		t.Errorf("%s is not well: %s", program, out)
	}
	return s.Build
}

func (f *fleet) bin(i int) string {
	if i == 2 {
		return "/usr/local/bin"
	}
	return "/usr/bin"
}

// callers let each host call its web service through HAProxy all the time; the
// returned function ends that and returns how many requests there were, and how
// many failed.
func (f *fleet) callers() func() (sent, failed int) {
	for _, m := range f.hosts {
		m.Run("systemd-run", "--quiet", "--unit", "caller", "caller", "-listen", "127.0.0.1:9000", "-rate", "40", fmt.Sprintf("web=http://127.0.0.1:%d/", port))
	}
	return func() (sent, failed int) {
		for _, m := range f.hosts {
			said := m.Run("caller", "ask", "http://127.0.0.1:9000/count")
			var name string
			var s, n int
			if _, err := fmt.Sscan(said, &name, &s, &n); err != nil {
				f.t.Fatalf("the caller says %q: %v", said, err)
			}
			if n > 0 {
				f.t.Logf("%s: %s", m.Name, said)
			}
			sent, failed = sent+s, failed+n
			m.Run("systemctl", "stop", "caller")
		}
		return sent, failed
	}
}

// underSystemd is a fleet's life under ansible: nothing, the first rollout, the
// second without a change, a new version, a new option, a mistake, and a
// rollout that must not go on. Where the order of the hosts does not matter, all
// are played at once.
func underSystemd(t *testing.T, old, newer string) {
	f := start(t)
	vars := atOnce(variables(old, port))

	f.play("success", vars, "--check", "--diff")
	if out, err := f.hosts[0].Try("test", "-e", "/usr/bin/nerve"); err == nil {
		t.Errorf("check mode has installed nerve %s", out)
	}
	if changed, out := f.play("success", vars); changed[f.hosts[0].Name] == 0 || changed[f.hosts[2].Name] == 0 {
		t.Fatalf("the first rollout changed %v\n%s", changed, out)
	}
	for i, m := range f.hosts {
		servers.Eventually(t, func() error {
			out, err := m.Try("curl", "-sS", "--max-time", "2", fmt.Sprintf("http://127.0.0.1:%d/", port))
			if err != nil || strings.TrimSpace(out) != m.Name {
				return fmt.Errorf("through HAProxy: %w %q", err, out)
			}
			return nil
		})
		if v := version(t, m, f.bin(i), "nerve"); v != "v1.2.3" {
			t.Errorf("nerve on host %d is %s", i, v)
		}
	}
	changed, out := f.play("success", vars)
	f.none("the second time", changed, out)
	one := f.hosts[0].Name
	if changed, out := f.play("success", vars, "--check", "--limit", one); changed[one] > 0 {
		t.Errorf("check mode would change %v\n%s", changed, out)
	}

	t.Run("new version", func(t *testing.T) { newVersion(t, f, newer) })
	vars = atOnce(variables(newer, port))
	t.Run("new option", func(t *testing.T) { newOption(t, f, vars) })
	t.Run("mistakes", func(t *testing.T) { mistakes(t, f, vars) })
}

func newVersion(t *testing.T, f *fleet, newer string) {
	haproxy := map[string]string{}
	for _, m := range f.hosts {
		haproxy[m.Name] = m.Run("pgrep", "-u", "synapse", "-o", "haproxy")
	}
	end := f.callers()
	_, out := f.play("success", variables(newer, port))
	if sent, failed := end(); failed > 0 || sent == 0 {
		t.Errorf("%d of %d requests failed", failed, sent)
	} else {
		t.Logf("%d requests during the rollout, none failed", sent)
	}
	for i, m := range f.hosts {
		for _, p := range []string{"nerve", "synapse"} {
			if v := version(t, m, f.bin(i), p); v != "v1.2.4" {
				t.Errorf("%s on host %d is %s\n%s", p, i, v, out)
			}
		}
		if is := m.Run("pgrep", "-u", "synapse", "-o", "haproxy"); is != haproxy[m.Name] {
			t.Errorf("HAProxy on host %d was ended", i)
		}
		if journal := m.Run("journalctl", "-u", "nerve", "-o", "cat"); !strings.Contains(journal, "rollout") {
			t.Errorf("nerve on host %d was not drained:\n%s", i, journal)
		}
	}
}

func newOption(t *testing.T, f *fleet, vars map[string]any) {
	was := f.hosts[0].Run("systemctl", "show", "-P", "MainPID", "nerve", "synapse")
	vars["smartstack_nerve_config"] = map[string]any{"heartbeat_path": "/var/lib/nerve/heartbeat"}
	if changed, out := f.play("success", vars); changed[f.hosts[0].Name] == 0 {
		t.Errorf("a new option changed nothing\n%s", out)
	}
	if is := f.hosts[0].Run("systemctl", "show", "-P", "MainPID", "nerve", "synapse"); is != was {
		t.Errorf("processes %q were %q: a new option needs no restart", is, was)
	}
	servers.Eventually(t, func() error {
		_, err := f.hosts[0].Try("test", "-e", "/var/lib/nerve/heartbeat")
		return err
	})
	one := f.hosts[2].Name
	if changed, out := f.play("success", vars, "--limit", one); changed[one] > 0 {
		t.Errorf("after the new option %v changes\n%s", changed, out)
	}
}

func mistakes(t *testing.T, f *fleet, vars map[string]any) {
	file := func(i int) string { return f.hosts[i].Run("cat", "/etc/smartstack/nerve.json") }
	was, others, pids := file(0), file(1)+file(2), f.hosts[0].Run("systemctl", "show", "-P", "MainPID", "nerve", "synapse")
	vars["smartstack_nerve_config"] = map[string]any{"service_conf_dir": 7}
	if _, out := f.play("failure", vars); !strings.Contains(out, "service_conf_dir") {
		t.Errorf("the play does not say what is wrong:\n%s", out)
	}
	if file(0) != was {
		t.Error("a bad file took the place of the good one")
	}
	// A good file under which the service is not healthy.
	sick := variables(vars["smartstack_binaries_dir"].(string), port)
	sick["smartstack_nerve_services"].(map[string]any)["web"].(map[string]any)["port"] = 8082
	sick["smartstack_gate_retries"] = 4
	changed, out := f.play("failure", sick)
	if file(0) == was || file(1)+file(2) != others || changed[f.hosts[1].Name] > 0 {
		t.Errorf("the rollout should have stopped at the first host\n%s", out)
	}
	if is := f.hosts[0].Run("systemctl", "show", "-P", "MainPID", "nerve", "synapse"); is != pids {
		t.Errorf("processes %q were %q: a mistake should leave them", is, pids)
	}
}
