//go:build docker

package ansible

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"smartstack/test/machine"
	"smartstack/test/servers"
)

// image makes an image of one static program, and the file of docker save.
func image(t *testing.T, dir, program, version string) (name, archive string) {
	t.Helper()
	name = fmt.Sprintf("smartstack-test/%s:%s-%d", program, version, os.Getpid())
	text := "FROM scratch\nCOPY " + program + " /usr/local/bin/\nUSER 65532:65532\nENTRYPOINT [\"/usr/local/bin/" + program + "\"]\n"
	if program == "nerve" {
		text += "ENV NERVE_CONFIG=/etc/smartstack/nerve.json\n"
	} else {
		text += "ENV SYNAPSE_CONFIG=/etc/smartstack/synapse.json\n"
	}
	file := filepath.Join(dir, program+".Dockerfile")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	machine.Docker(t, "build", "-q", "-t", name, "-f", file, dir)
	archive = filepath.Join(dir, program+".tar")
	machine.Docker(t, "save", "-o", archive, name)
	machine.Docker(t, "rmi", name)
	t.Cleanup(func() { machine.Docker(t, "rmi", "-f", name) })
	return name, archive
}

// TestContainers is the flavour docker: a host whose engine is ours.
func TestContainers(t *testing.T) {
	client, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // has the same name on the host and for the engine
	m := machine.Host(t, "-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", client+":/usr/bin/docker:ro", "-v", dir+":"+dir)
	m.Shell("ln -s /var/run/docker.sock /run/docker.sock 2>/dev/null || true")
	f := &fleet{t: t, dir: t.TempDir(), hosts: []*machine.Machine{m}}
	prefix := m.Name + "-"
	t.Cleanup(func() {
		machine.Docker(t, "rm", "-f", prefix+"nerve", prefix+"synapse")
		m.Shell("rm -rf " + dir + "/*") // files of the containers' user
	})
	l, err := net.Listen("tcp", "127.0.0.1:0") // the service: containers have this host's network
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	vars := func(version string) map[string]any {
		v := variables("", port)
		images, archives := map[string]any{}, map[string]any{}
		built := builds(t, version)
		for _, p := range []string{"nerve", "synapse"} {
			images[p], archives[p] = image(t, built, p, version)
		}
		web := v["smartstack_nerve_services"].(map[string]any)["web"].(map[string]any)
		web["port"], web["path"] = l.Addr().(*net.TCPAddr).Port, "/var/lib/smartstack/registry/web"
		maps.Copy(v, map[string]any{
			"smartstack_images": images, "smartstack_image_archives": archives, "smartstack_flavour": "docker", "smartstack_container_prefix": prefix,
			"smartstack_config_dir": dir + "/etc", "smartstack_run_dir": dir + "/run", "smartstack_state_dir": dir + "/lib", "smartstack_haproxy_dir": dir + "/haproxy",
		})
		return v
	}
	old := vars("v1.2.3")
	f.play("success", old, "--check")
	f.play("success", old)
	servers.Eventually(t, func() error {
		if _, err := m.Try("docker", "exec", prefix+"nerve", "nerve", "status"); err != nil {
			return err
		}
		_, err := os.Stat(dir + "/haproxy/haproxy.cfg")
		return err
	})
	changed, out := f.play("success", old)
	f.none("the second time", changed, out)
	newer := vars("v1.2.4")
	if changed, out := f.play("success", newer); changed[m.Name] == 0 {
		t.Errorf("a new image changed nothing\n%s", out)
	}
	for _, p := range []string{"nerve", "synapse"} {
		if v := m.Run("docker", "exec", prefix+p, p, "--version"); v != p+" v1.2.4\n" {
			t.Errorf("after the rollout: %s", v)
		}
	}
	changed, out = f.play("success", newer)
	f.none("after the new image", changed, out)
}
