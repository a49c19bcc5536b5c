package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTemplatesAreJSONForEveryRegistry(t *testing.T) {
	for _, kind := range []string{"file", "zookeeper", "etcd"} {
		s, err := newStage(t.TempDir(), options{registry: kind})
		if err != nil {
			t.Fatal(err)
		}
		for tmpl, more := range map[string]map[string]any{
			"nerve.conf.json":   {"Host": "web-1", "Port": 81, "Control": "/run/nerve.sock"},
			"synapse.conf.json": {"Port": 80, "HAProxy": "/usr/sbin/haproxy", "Control": "/run/synapse.sock", "Page": 3213},
		} {
			file, err := s.write(tmpl, tmpl, more)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !json.Valid(data) {
				t.Errorf("%s for %s:\n%s", tmpl, kind, data)
			}
			if !strings.Contains(string(data), `"`+kind+`"`) {
				t.Errorf("%s does not name the registry %s", tmpl, kind)
			}
		}
	}
	if _, err := newRegistry("consul", "", ""); err == nil {
		t.Error("an unknown registry is accepted")
	}
}

// At the end nothing may be left of a HAProxy whose synapse was killed.
func TestHAProxyWithoutASynapseIsEnded(t *testing.T) {
	s, err := newStage(t.TempDir(), options{registry: "file"})
	if err != nil {
		t.Fatal(err)
	}
	s.endHAProxy() // there is none
	start := func(argument string) (pid int, gone chan struct{}) {
		cmd := exec.Command("sh", "-c", "sleep 1000 & wait", "sh", argument)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		gone = make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(gone)
		}()
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-gone
		})
		return cmd.Process.Pid, gone
	}
	note := func(pid int) {
		if err := os.MkdirAll(filepath.Dir(s.haproxyPID()), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.haproxyPID(), fmt.Appendf(nil, "%d 17 boot\n", pid), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stranger, alive := start("/etc/haproxy/haproxy.cfg")
	note(stranger)
	s.endHAProxy()
	select {
	case <-alive:
		t.Error("a process that is not ours was ended")
	default:
	}
	ours, gone := start(filepath.Join(s.dir, "haproxy.cfg"))
	note(ours)
	s.endHAProxy()
	select {
	case <-gone:
	case <-time.After(30 * time.Second):
		t.Error("HAProxy was left")
	}
}

func TestInService(t *testing.T) {
	const state = "1\n" +
		"# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n" +
		"3 web 1 web-1_127.0.0.1:1 127.0.0.1 2 0 1\n" +
		"3 web 2 web-2_127.0.0.1:2 127.0.0.1 0 1 1\n" + // maintenance
		"3 web 3 web-3_127.0.0.1:3 127.0.0.1 0 0 1\n" + // down by HAProxy's own check
		"3 web 4 web-4_127.0.0.1:4 127.0.0.1 0 8 1\n" + // down and drained
		"3 web 5 web-5_127.0.0.1:5 127.0.0.1 2 8 1\n\n"
	hosts, err := inService(answering(t, state), "web")
	if err != nil {
		t.Fatal(err)
	}
	if len(hosts) != 2 || !hosts["web-1"] || !hosts["web-3"] {
		t.Errorf("in service: %v, want web-1 and web-3", hosts)
	}
}

// answering is a unix socket that gives everyone the same answer.
func answering(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, answer)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func TestFileRegistryNamesHosts(t *testing.T) {
	dir := t.TempDir()
	r := fileRegistry{filepath.Join(dir, "registry")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := observe(ctx, r.watch)
	next := func() map[string]bool {
		select {
		case s := <-seen:
			return s.hosts
		case <-time.After(30 * time.Second):
			t.Fatal("nothing seen")
			return nil
		}
	}
	if hosts := next(); len(hosts) != 0 {
		t.Errorf("an absent directory lists %v", hosts)
	}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.dir, "web-1_127.0.0.1_80.json")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if hosts := next(); len(hosts) != 1 || !hosts["web-1"] {
		t.Errorf("lists %v, want web-1", hosts)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if hosts := next(); len(hosts) != 0 {
		t.Errorf("lists %v after the file is gone", hosts)
	}
}

func TestTrafficCountsFailures(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "hello from web-1\n")
	}))
	defer server.Close()
	tr := new(traffic)
	for _, path := range []string{"/", "/broken", "/"} {
		tr.one(t.Context(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, server.URL+path)
	}
	if got, want := tr.String(), "1 of 3 requests to healthy servers failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
