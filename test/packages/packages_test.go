//go:build docker

package packages

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"smartstack/test/machine"
	"smartstack/test/servers"
)

// programs have a file in /etc/smartstack each; packaged have a package.
func programs() []string { return []string{"nerve", "synapse"} }
func packaged() []string { return append(programs(), "haproxy-watcher") }

// build makes the packages of this tree in the version.
func build(t *testing.T, version string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(machine.Root(t), "deploy/packages.sh"), append([]string{"-o", t.TempDir()}, packaged()...)...)
	cmd.Env = append(cmd.Environ(), "VERSION="+version, "COMPRESSION=none")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("deploy/packages.sh: %v\n%s", err, stderr.String())
	}
	files := map[string]string{}
	for file := range strings.FieldsSeq(string(out)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(file), "smartstack-"), "_")
		files[name] = file
	}
	if len(files) != len(packaged()) {
		t.Fatalf("packages.sh made %q", out)
	}
	return files
}

const install = "apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends"

// put copies the packages into the machine.
func put(m *machine.Machine, files map[string]string) {
	m.Shell("mkdir -p /debs && rm -f /debs/*")
	for program, file := range files {
		m.Copy(file, "/debs/"+program+".deb")
	}
}

// TestPackages builds two versions of each package and tries them on the
// Debian of before and the one of today.
func TestPackages(t *testing.T) {
	old, newer := build(t, "v1.2.3"), build(t, "v1.2.4-5-gabc")
	t.Run("bookworm", func(t *testing.T) { bare(t, old, newer) })
	t.Run("trixie", func(t *testing.T) { underSystemd(t, old, newer) })
}

// bare: on a Debian without a running systemd each package installs with what
// it needs, its program runs and takes its own sample, an upgrade keeps what
// was changed in the sample, and a purge leaves nothing.
func bare(t *testing.T, old, newer map[string]string) {
	m := machine.Bare(t, machine.Bookworm)
	m.Shell("apt-get -qq update && apt-get -qq install -y --no-install-recommends haproxy procps systemd >/dev/null")
	before := tree(m)
	put(m, old)
	m.Shell(install + " /debs/*.deb")
	for _, p := range packaged() {
		installed(t, m, p)
	}
	put(m, newer)
	m.Shell("sed -i 's/^  \\/\\/ One file/  \\/\\/ Kept. One file/' /etc/smartstack/nerve.json")
	m.Shell(install + " /debs/*.deb")
	if v := m.Run("nerve", "--version"); !strings.Contains(v, "v1.2.4-5-gabc") {
		t.Errorf("after the upgrade: %q", v)
	}
	m.Run("grep", "-q", "Kept.", "/etc/smartstack/nerve.json")
	if mode := m.Run("stat", "-c", "%a %G", "/etc/smartstack/nerve.json"); mode != "640 nerve\n" {
		t.Errorf("after the upgrade nerve.json is %q", mode)
	}
	m.Shell("mkdir -p /var/lib/synapse && touch /var/lib/synapse/haproxy.cfg")
	m.Shell("apt-get -qq purge -y smartstack-nerve smartstack-synapse smartstack-haproxy-watcher && rm -r /debs")
	if left := added(before, tree(m)); len(left) > 0 {
		t.Errorf("a purge leaves %q", left)
	}
}

// installed checks one package in the machine.
func installed(t *testing.T, m *machine.Machine, program string) {
	t.Helper()
	if v := m.Run(program, "--version"); v != program+" v1.2.3\n" {
		t.Errorf("version %q", v)
	}
	// A slim Debian leaves the documentation out.
	if out := m.Shell("dpkg -V smartstack-" + program + " | grep -v ' /usr/share/' || true"); out != "" {
		t.Errorf("dpkg -V: %s", out)
	}
	conffiles := m.Run("dpkg-query", "-W", "-f", "${Conffiles}", "smartstack-"+program)
	if !strings.Contains(conffiles, "/etc/default/"+program) {
		t.Errorf("conffiles: %s", conffiles)
	}
	m.Run("bash", "-n", "/usr/share/bash-completion/completions/"+program)
	units(t, m, program)
	config := "/etc/smartstack/" + program + ".json"
	if !slices.Contains(programs(), program) {
		return
	}
	// As its own user: that one must be able to read it.
	m.Run("setpriv", "--reuid", program, "--regid", program, "--init-groups", program, "--strict", "-k", "-c", config)
	if mode := m.Run("stat", "-c", "%a %U %G", config, "/run/smartstack"); mode != "640 root "+program+"\n1775 root smartstack\n" {
		t.Errorf("%s and /run/smartstack are %q", config, mode)
	}
	if !strings.Contains(conffiles, config) {
		t.Errorf("conffiles: %s", conffiles)
	}
}

// units lets systemd judge the unit.
func units(t *testing.T, m *machine.Machine, program string) {
	t.Helper()
	unit := "/usr/lib/systemd/system/" + program + ".service"
	if out, err := m.Try("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit); err != nil || strings.Contains(out, program) {
		t.Errorf("systemd-analyze verify: %v %s", err, out)
	}
	out := m.Run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
	level := regexp.MustCompile(`Overall exposure level for \S+ ([\d.]+) `).FindStringSubmatch(out)
	if level == nil {
		t.Fatalf("systemd-analyze security says\n%s", out)
	}
	if n, err := strconv.ParseFloat(level[1], 64); err != nil || n > 3.5 {
		t.Errorf("exposure of %s is %s, want at most 3.5\n%s", program, level[1], out)
	}
}

// tree lists what packages may leave behind.
func tree(m *machine.Machine) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(m.Shell("find /etc /usr /var/lib /run -xdev -not -path '/var/lib/dpkg/*' -not -path '/var/lib/apt/*' -not -path '/var/lib/systemd/*' -not -path '/run/systemd/*'")) {
		all[strings.TrimSpace(line)] = true
	}
	return all
}

// added returns what is in after alone, but for the users, which stay.
func added(before, after map[string]bool) []string {
	var more []string
	for path := range after {
		if !before[path] && !strings.HasPrefix(path, "/etc/passwd") && !strings.HasPrefix(path, "/etc/group") &&
			!strings.HasPrefix(path, "/etc/shadow") && !strings.HasPrefix(path, "/etc/gshadow") && path != "/etc/.pwd.lock" {
			more = append(more, path)
		}
	}
	return more
}

// pid is the main process of the unit.
func pid(m *machine.Machine, program string) string {
	return strings.TrimSpace(m.Run("systemctl", "show", "-P", "MainPID", program))
}

// underSystemd is a host's life: nerve and synapse with its HAProxy under
// systemd, behind their walls, through reload, crash, hang, upgrade and removal.
func underSystemd(t *testing.T, old, newer map[string]string) {
	m := machine.Host(t)
	put(m, old)
	m.Shell(install + " /debs/*.deb") // the host has what they need: no apt-get update
	for _, p := range packaged() {
		installed(t, m, p)
	}
	if state, _ := m.Try("systemctl", "is-enabled", "nerve", "synapse"); state != "disabled\ndisabled\n" {
		t.Errorf("after the installation the units are %q: nothing is written in the files yet", state)
	}
	m.Write("/etc/smartstack/nerve.d/web.json", `{"host": "127.0.0.1", "port": 8081, "reporter_type": "file", "path": "/var/lib/nerve/registry/web", "check_interval": 0.2, "checks": [{"type": "tcp"}]}`)
	m.Write("/etc/smartstack/synapse.d/web.json", `{"discovery": {"method": "file", "path": "/var/lib/nerve/registry/web"}, "haproxy": {"port": 80, "listen": ["mode http"]}}`)
	// The registry of this test is a directory that nerve writes and synapse reads.
	m.Shell("usermod -a -G nerve synapse && chgrp synapse /etc/smartstack/synapse.d/* && chgrp nerve /etc/smartstack/nerve.d/*")
	m.Shell("mkdir -p /srv/web && echo hello >/srv/web/index.html && systemd-run --quiet --unit web python3 -m http.server 8081 --bind 127.0.0.1 --directory /srv/web")

	m.Run("systemctl", "enable", "--now", "nerve")
	m.Run("systemctl", "enable", "--now", "synapse")
	serves := func(when string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if out, err := m.Try("curl", "-sS", "--max-time", "2", "http://127.0.0.1/"); err != nil || out != "hello\n" {
				return fmt.Errorf("%s: %w %q", when, err, out)
			}
			return nil
		})
	}
	serves("at first")
	// Over the control socket, behind the walls.
	servers.Eventually(t, func() error {
		out, err := m.Try("nerve", "status")
		if err == nil {
			out, err = m.Try("synapse", "status")
		}
		if err != nil {
			return fmt.Errorf("status: %w %s", err, out)
		}
		return nil
	})
	t.Run("reload", func(t *testing.T) {
		for _, p := range programs() {
			was := pid(m, p)
			m.Run("systemctl", "reload", p)
			if is := pid(m, p); is != was {
				t.Errorf("%s: a reload made process %s of %s", p, is, was)
			}
		}
	})
	t.Run("crash", func(t *testing.T) {
		haproxy := m.Run("pgrep", "-u", "synapse", "-o", "haproxy")
		for _, p := range programs() {
			was := pid(m, p)
			m.Run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", p)
			servers.Eventually(t, func() error {
				if is := pid(m, p); is == was || is == "0" {
					return fmt.Errorf("%s is not started again", p)
				}
				return nil
			})
		}
		serves("after a crash")
		if is := m.Run("pgrep", "-u", "synapse", "-o", "haproxy"); is != haproxy {
			t.Errorf("HAProxy is %s and was %s: it should have gone on", is, haproxy)
		}
	})
	t.Run("hang", func(t *testing.T) {
		haproxy := m.Run("pgrep", "-u", "synapse", "-o", "haproxy")
		for _, p := range programs() {
			hang(t, m, p)
		}
		serves("after a hang")
		if is := m.Run("pgrep", "-u", "synapse", "-o", "haproxy"); is != haproxy {
			t.Errorf("HAProxy is %s and was %s: it should have gone on", is, haproxy)
		}
	})
	t.Run("upgrade", func(t *testing.T) { upgrade(t, m, newer, serves) })
	t.Run("haproxy-watcher", func(t *testing.T) { watcher(t, m) })
	t.Run("zsh", func(t *testing.T) {
		m.Run("zsh", "-fc", "autoload -Uz compinit && compinit -u -d /tmp/z && for p in nerve synapse haproxy-watcher; do (( $+functions[_$p] )) && autoload +X _$p || exit 1; done")
	})
	m.Shell("apt-get -qq purge -y smartstack-nerve smartstack-synapse smartstack-haproxy-watcher")
	if out, err := m.Try("pgrep", "-l", "-u", "nerve,synapse"); err == nil {
		t.Errorf("after the removal runs %s", out)
	}
}

// hang stops the program's process: systemd, which hears no sign of life any
// more, replaces it.
func hang(t *testing.T, m *machine.Machine, program string) {
	t.Helper()
	if kind := m.Run("systemctl", "show", "-P", "Type", program); kind != "notify\n" {
		t.Errorf("%s is of type %s", program, kind)
	}
	// Sooner than WatchdogSec of the unit.
	dropIn := "/run/systemd/system/" + program + ".service.d/hang.conf"
	m.Write(dropIn, "[Service]\nWatchdogSec=10\n")
	m.Shell("systemctl daemon-reload && systemctl restart " + program)
	was := pid(m, program)
	m.Run("kill", "-STOP", was)
	servers.Eventually(t, func() error {
		if is := pid(m, program); is == was || is == "0" {
			return fmt.Errorf("%s hangs and is not started again", program)
		}
		return nil
	})
	m.Run("rm", dropIn)
	m.Shell("systemctl daemon-reload && systemctl restart " + program) // returns when it is ready
}

// upgrade installs a newer version of both: they run anew, and HAProxy does not.
func upgrade(t *testing.T, m *machine.Machine, newer map[string]string, serves func(string)) {
	haproxy := m.Run("pgrep", "-u", "synapse", "-o", "haproxy")
	was := map[string]string{}
	for _, p := range programs() {
		was[p] = pid(m, p)
	}
	put(m, newer)
	m.Shell(install + " /debs/*.deb")
	for _, p := range programs() {
		if pid(m, p) == was[p] {
			t.Errorf("%s of before still runs after the upgrade", p)
		}
	}
	serves("after the upgrade")
	if is := m.Run("pgrep", "-u", "synapse", "-o", "haproxy"); is != haproxy {
		t.Errorf("HAProxy is %s and was %s: an upgrade of synapse should leave it", is, haproxy)
	}
}

// watcher lets HAProxy follow a file under systemd, behind its walls.
func watcher(t *testing.T, m *machine.Machine) {
	config := func(text string) string {
		return "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:88\n http-request return status 200 content-type text/plain string " + text + "\n"
	}
	m.Write("/etc/haproxy/haproxy.cfg", "global\n user haproxy\n group haproxy\n chroot /var/lib/haproxy\n"+config("one"))
	m.Run("systemctl", "enable", "--now", "haproxy-watcher")
	says := func(want string) {
		t.Helper()
		servers.Eventually(t, func() error {
			if out, err := m.Try("curl", "-sS", "--max-time", "2", "http://127.0.0.1:88/"); err != nil || out != want {
				return fmt.Errorf("%w %q, want %q", err, out, want)
			}
			return nil
		})
	}
	says("one")
	m.Write("/etc/haproxy/haproxy.cfg", config("two"))
	says("two")
	m.Run("haproxy-watcher", "health")
	m.Run("systemctl", "reload", "haproxy-watcher")
	hang(t, m, "haproxy-watcher")
	says("two")
}
