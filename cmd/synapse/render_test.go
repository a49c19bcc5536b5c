package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/internal/cli"
	"smartstack/internal/config"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// renderedBy runs render over a configuration with these services.
func renderedBy(t *testing.T, services string, wait time.Duration) (code int, out rendered) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "synapse.json")
	text := fmt.Sprintf(`{"services": {%s}, "haproxy": {"config_file_path": %q, "do_reloads": false, "do_socket": false}}`, services, dir+"/haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	r := &render{wait: wait}
	code, err := r.run(t.Context(), &cli.Call{Config: path, JSON: true, Stdout: &stdout, Stderr: &stderr}, config.ReadOptions{Getenv: env()})
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Warnings == nil || out.Silent == nil {
		t.Errorf("null for an empty list: %s", &stdout)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("render made something: %v, %v", left, err)
	}
	return code, out
}

// Rendering must not make the path that a service lacks.
func TestRenderMakesNoPath(t *testing.T) {
	zk := servers.ZooKeeper(t)
	services := fmt.Sprintf(`"web": {"discovery": {"method": "zookeeper", "hosts": [%q], "path": "/services/web"}, "haproxy": {"port": 3000}}`, zk.Addr)
	if code, out := renderedBy(t, services, servers.Deadline); code != cli.ExitOK || !strings.Contains(out.Config, "backend web\n") {
		t.Errorf("code %d: %+v", code, out)
	}
	conn, err := zkconn.NewPool(slog.New(slog.DiscardHandler)).Open(zkconn.Ensemble{Hosts: []string{zk.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	servers.Eventually(t, func() error {
		stat, err := conn.Exists(t.Context(), "/services")
		if err == nil && stat != nil {
			t.Error("render made /services")
		}
		return err
	})
}

func TestRenderSaysWhyASourceIsSilent(t *testing.T) {
	services := `"web": {"discovery": {"method": "file", "path": "/nowhere/at/all"}, "haproxy": {"port": 3000}}`
	code, out := renderedBy(t, services, time.Second)
	if code != cli.ExitNo || len(out.Silent) != 1 || len(out.Warnings) == 0 || !strings.Contains(out.Warnings[len(out.Warnings)-1], "no such file") {
		t.Errorf("code %d: %+v", code, out)
	}
}
