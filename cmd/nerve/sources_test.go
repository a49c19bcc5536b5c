package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"smartstack/internal/service"
	"smartstack/test/enginefake"
	"smartstack/test/servers"
)

// registered returns what stands in a file registry, as name@host:port labels.
func registered(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || e.IsDir() {
			continue // it went meanwhile
		}
		b, err := service.DecodePayload(data)
		if err != nil {
			t.Fatalf("%s: %v", e.Name(), err)
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s@%s %s", b.Name, b.Address(), b.Labels)))
	}
	slices.Sort(all)
	return all
}

func awaitRegistered(t *testing.T, dir string, want ...string) {
	t.Helper()
	servers.Eventually(t, func() error {
		if got := registered(t, dir); !slices.Equal(got, want) {
			return fmt.Errorf("registered are %q, want %q", got, want)
		}
		return nil
	})
}

// configured writes a configuration file and returns its path.
func configured(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nerve.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// listening is a service's port.
func listening(t *testing.T) (port int, listener net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port, l
}

func TestContainersAreRegistered(t *testing.T) {
	engine, registry := enginefake.New(t), t.TempDir()
	die := engine.Serve(t)
	port, listener := listening(t)
	web := enginefake.Box("box", port, enginefake.Object{"smartstack.service": "web", "smartstack.label.track": "blue"})
	bad := enginefake.Box("bad", port, enginefake.Object{"smartstack.service": "web", "smartstack.check": "exec"})
	odd := enginefake.Box("odd", port, enginefake.Object{"smartstack.service": "odd", "smartstack.check": "tcp", "smartstack.check.timeout": "1", "smartstack.check.uri": "/x"})
	engine.Set(web, bad, odd)
	n := start(t, "-c", configured(t, fmt.Sprintf(`{"instance_id": "i-1", "docker": {"server": "unix://%s", "defaults": {
		"host": "127.0.0.1", "reporter_type": "file", "path": %q, "check_interval": 0.05,
		"checks": [{"type": "tcp", "timeout": 10, "rise": 1, "fall": 1}]
	}}}`, engine.Socket, filepath.Join(registry, "${service}"))))
	entry := fmt.Sprintf(`i-1_box@127.0.0.1:%d {"track":"blue"}`, port)
	awaitRegistered(t, registry+"/web", entry)
	n.says("a container cannot choose the check")
	awaitRegistered(t, registry+"/odd", fmt.Sprintf(`i-1_odd@127.0.0.1:%d`, port))
	n.says("a container is not checked in all as it asks")
	n.says("checks[0].uri")

	second := enginefake.Box("two", port, enginefake.Object{"SERVICE_NAME": "web"})
	engine.Set(web, second)
	awaitRegistered(t, registry+"/web", entry, fmt.Sprintf(`i-1_two@127.0.0.1:%d`, port))
	engine.Set(second) // one has stopped
	awaitRegistered(t, registry+"/web", fmt.Sprintf(`i-1_two@127.0.0.1:%d`, port))

	die() // a dead daemon takes nothing away, and the checks go on
	n.says("cannot be read; its services stay as they were")
	awaitRegistered(t, registry+"/web", fmt.Sprintf(`i-1_two@127.0.0.1:%d`, port))
	_ = listener.Close()
	awaitRegistered(t, registry+"/web")
	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestFactsOfTheHost(t *testing.T) {
	registry, labels := t.TempDir(), t.TempDir()
	var there atomic.Bool // the metadata answer
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !there.Load():
			http.Error(w, "", http.StatusServiceUnavailable)
		case r.Method == http.MethodPut:
			fmt.Fprint(w, "token")
		default:
			fmt.Fprint(w, "10.9.8.7")
		}
	}))
	defer metadata.Close()
	if err := os.WriteFile(filepath.Join(labels, "az"), []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := configured(t, fmt.Sprintf(`{"instance_id": "i-1", "labels_dir": %q, "services": {
		"lo": {"host": "interface:lo", "port": 80, "reporter_type": "file", "path": %q, "labels": {"env": "${DEPLOY_ENV}", "az": 7}},
		"bare": {"host": "lo", "port": 80, "reporter_type": "file", "path": %q},
		"cloud": {"host": "${ec2:local-ipv4}", "port": 80, "reporter_type": "file", "path": %q}
	}}`, labels, registry+"/lo", registry+"/bare", registry+"/cloud"))
	n := startWith(t, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + metadata.URL, "DEPLOY_ENV=prod"}, "-c", path)
	awaitRegistered(t, registry+"/lo", `i-1@127.0.0.1:80 {"env":"prod","az":7}`)
	awaitRegistered(t, registry+"/bare", `i-1@127.0.0.1:80 {"az":"a"}`)
	n.says("a fact about this host cannot be found out")
	awaitRegistered(t, registry+"/cloud") // it waits, and keeps nobody from starting
	there.Store(true)
	awaitRegistered(t, registry+"/cloud", `i-1@10.9.8.7:80 {"az":"a"}`)
	there.Store(false)
	if err := os.WriteFile(filepath.Join(labels, "az"), []byte("b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	awaitRegistered(t, registry+"/cloud", `i-1@10.9.8.7:80 {"az":"b"}`)
	awaitRegistered(t, registry+"/lo", `i-1@127.0.0.1:80 {"env":"prod","az":7}`)
}

func TestReloadOnChange(t *testing.T) {
	registry, services := t.TempDir(), t.TempDir()
	path := configured(t, fmt.Sprintf(`{"instance_id": "i-1", "reload_on_change": true, "service_conf_dir": %q}`, services))
	n := start(t, "-c", path)
	n.says("nerve starts")
	text := fmt.Sprintf(`{"host": "10.0.0.1", "port": 80, "reporter_type": "file", "path": %q}`, registry)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(services, "web.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	awaitRegistered(t, registry, "i-1@10.0.0.1:80")
	write(text[:len(text)/2]) // half written: all stays as it was
	n.says("the old one stays in force")
	awaitRegistered(t, registry, "i-1@10.0.0.1:80")
	write(strings.Replace(text, "80", "81", 1))
	awaitRegistered(t, registry, "i-1@10.0.0.1:81")
	if err := os.Remove(filepath.Join(services, "web.json")); err != nil {
		t.Fatal(err)
	}
	awaitRegistered(t, registry)
}

func TestRefusesToStart(t *testing.T) {
	zk := servers.ZooKeeper(t)
	secrets := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(secrets, []byte("digest:nerve:pa55word"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(acl string) string {
		return configured(t, fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {"host": "auto", "port": 80,
			"zk_hosts": [%q], "zk_path": "/s/web", "zk_auth_file": %q, "zk_acl": [%q]}}}`, zk.Addr, secrets, acl))
	}
	n := start(t, "-c", file("nonesuch:me:r"))
	if code := n.exit(); code != exitFault || !strings.Contains(n.out.String(), "zk_acl cannot be kept") {
		t.Errorf("exit code %d: %s", code, n.out)
	}
	if err := os.Chmod(secrets, 0o644); err != nil {
		t.Fatal(err)
	}
	n = start(t, "-c", file("creator"))
	if code := n.exit(); code != exitFault || !strings.Contains(n.out.String(), "everybody on this host may read") {
		t.Errorf("exit code %d: %s", code, n.out)
	}
	if err := os.Chmod(secrets, 0o600); err != nil {
		t.Fatal(err)
	}
	n = start(t, "-c", file("creator"), "--debug")
	n.says("service is up")
	if strings.Contains(n.out.String(), "pa55word") {
		t.Error("the log shows a secret")
	}
}

func TestCheckWithoutTheHost(t *testing.T) {
	path := configured(t, `{"instance_id": "i-1", "services": {
		"a": {"host": "auto", "port": 80, "zk_hosts": ["zk1:2181"], "zk_path": "/s/a", "checks": [{"type": "tcp"}]},
		"b": {"host": "${ec2:local-ipv4}", "port": 80, "reporter_type": "console", "labels_dir": "/nonesuch"}
	}}`)
	n := start(t, "-k", "-c", path)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"2 services", "the address that leads to zk1:2181", "EC2's metadata local-ipv4", "the labels in /nonesuch"} {
		if !strings.Contains(n.out.String(), want) {
			t.Errorf("%q is missing in: %s", want, n.out)
		}
	}
	bad := start(t, "-k", "-c", configured(t, `{"instance_id": "i-1", "services": {"a": {"host": "${NONE}", "port": 80, "reporter_type": "console"}}}`))
	if code := bad.exit(); code != exitFault || !strings.Contains(bad.out.String(), "services.a.host: the environment has no NONE") {
		t.Errorf("exit code %d: %s", code, bad.out)
	}
}
