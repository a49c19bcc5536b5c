//go:build docker

package ansible

import (
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
	"strings"
	"testing"

	"smartstack/test/machine"
	"smartstack/test/servers"
)

// programs of the flavour docker.
func programs() []string { return []string{"nerve", "synapse", "haproxy"} }

// followerImage makes the image in which HAProxy follows its file: that of the
// hosts, which has an HAProxy, with the watcher.
func followerImage(t *testing.T, dir, version string) (name string) {
	t.Helper()
	name = fmt.Sprintf("smartstack-test/haproxy:%s-%d", version, os.Getpid())
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version="+version, "-o", filepath.Join(dir, "haproxy-watcher"), "./cmd/haproxy-watcher")
	build.Dir = machine.Root(t)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cmd/haproxy-watcher: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "haproxy.Dockerfile")
	const text = "FROM smartstack-test-host\nCOPY haproxy-watcher /usr/local/bin/\nUSER 65532:65532\nSTOPSIGNAL SIGTERM\n" +
		"ENTRYPOINT [\"/usr/local/bin/haproxy-watcher\"]\nCMD [\"/etc/haproxy\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	machine.Docker(t, "build", "-q", "-t", name, "-f", file, dir)
	t.Cleanup(func() { machine.Docker(t, "rmi", "-f", name) })
	return name
}

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

// containers is the flavour docker: a host whose engine is ours.
func containers(t *testing.T, old, newer string) {
	client, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // has the same name on the host and for the engine
	m := machine.Host(t, "-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", client+":/usr/bin/docker:ro", "-v", dir+":"+dir)
	m.Shell("ln -s /var/run/docker.sock /run/docker.sock 2>/dev/null || true")
	f := &fleet{t: t, dir: t.TempDir(), remote: dir + "/ansible", hosts: []*machine.Machine{m}}
	c := &crew{fleet: f, host: m, prefix: m.Name + "-", dir: dir, caught: servers.FreePort(t)}
	t.Cleanup(func() {
		for _, p := range programs() {
			machine.Docker(t, "rm", "-f", c.prefix+p)
		}
		m.Shell("rm -rf " + dir + "/*") // files of the containers' user
	})
	// Containers have this host's network, so the service is here.
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer web.Close()
	c.port = web.Listener.Addr().(*net.TCPAddr).Port
	vars := c.variables(old, "v1.2.3")
	f.play("success", vars, "--check")
	f.play("success", vars)
	c.serves()
	changed, out := f.play("success", vars)
	f.none("the second time", changed, out)

	vars["smartstack_nerve_config"] = map[string]any{"heartbeat_path": "/var/lib/smartstack/heartbeat"}
	was := c.ids()
	f.play("success", vars)
	servers.Eventually(t, func() error {
		_, err := m.Try("test", "-e", dir+"/lib/heartbeat")
		return err
	})
	vars["smartstack_nerve_config"] = map[string]any{"service_conf_dir": 7}
	if _, out := f.play("failure", vars); !strings.Contains(out, "service_conf_dir") {
		t.Errorf("the play does not say what is wrong:\n%s", out)
	}
	if is := c.ids(); is != was {
		t.Errorf("containers %q were %q: a new option and a mistake should leave them", is, was)
	}

	vars = c.variables(newer, "v1.2.4")
	changed, out = f.play("success", vars, "--check")
	if changed[m.Name] == 0 || c.ids() != was {
		t.Errorf("check mode: a new image changes %v\n%s", changed, out)
	}
	f.play("success", vars)
	for p, program := range map[string]string{"nerve": "nerve", "synapse": "synapse", "haproxy": "haproxy-watcher"} {
		if v := m.Run("docker", "exec", c.prefix+p, program, "--version"); v != program+" v1.2.4\n" {
			t.Errorf("after the rollout: %s", v)
		}
	}
	c.serves()
	changed, out = f.play("success", vars)
	f.none("after the new image", changed, out)
}

// crew is the host's containers.
type crew struct {
	*fleet
	host        *machine.Machine
	prefix, dir string
	port        int // of the service
	caught      int // the port on which HAProxy serves it
}

// serves waits until the service is reached through HAProxy, and nerve has
// registered it.
func (c *crew) serves() {
	c.t.Helper()
	servers.Eventually(c.t, func() error {
		if out, err := c.host.Try("docker", "exec", c.prefix+"nerve", "nerve", "status"); err != nil {
			return fmt.Errorf("nerve status: %w %s", err, out)
		}
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", c.caught))
		if err != nil {
			return err
		}
		defer r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return errors.New(r.Status)
		}
		return nil
	})
}

// ids are the containers themselves.
func (c *crew) ids() string {
	return c.host.Run("docker", "inspect", "-f", "{{.Id}} {{.State.Pid}}", c.prefix+"nerve", c.prefix+"synapse", c.prefix+"haproxy")
}

func (c *crew) variables(built, version string) map[string]any {
	v := variables("", c.caught)
	images, archives := map[string]any{}, map[string]any{}
	for _, p := range []string{"nerve", "synapse"} {
		images[p], archives[p] = image(c.t, built, p, version)
	}
	images["haproxy"] = followerImage(c.t, built, version)
	v["smartstack_synapse_services"].(map[string]any)["web"].(map[string]any)["default_servers"] = []any{map[string]any{"host": "127.0.0.1", "port": c.port}}
	web := v["smartstack_nerve_services"].(map[string]any)["web"].(map[string]any)
	web["port"], web["path"] = c.port, "/var/lib/smartstack/registry/web"
	maps.Copy(v, map[string]any{
		"smartstack_programs": programs(), "smartstack_image_pull": false, "smartstack_images": images, "smartstack_image_archives": archives, "smartstack_flavour": "docker", "smartstack_container_prefix": c.prefix,
		"smartstack_config_dir": c.dir + "/etc", "smartstack_run_dir": c.dir + "/run", "smartstack_state_dir": c.dir + "/lib", "smartstack_haproxy_dir": c.dir + "/haproxy",
	})
	return v
}
