package stories

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// planted begins every secret of these tests; what comes behind it tells which
// one leaked.
const planted = "s3cret-"

// leaks names the planted secrets in a text that people and machines may see.
func leaks(t *testing.T, where, text string) {
	t.Helper()
	for rest := text; ; {
		at := strings.Index(rest, planted)
		if at < 0 {
			return
		}
		t.Errorf("%s tells %.40q: …%.200s…", where, rest[at:], rest[max(0, at-120):])
		rest = rest[at+len(planted):]
	}
}

// bearer asks for what only the token opens, whatever the answer is.
func bearer(t *testing.T, page, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+page+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+planted+"token")
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// routes are all that may be read on a port.
func routes(services object) []string {
	list := []string{"/", "/healthz", "/readyz", "/status", "/status?backends", "/events", "/metrics", "/metrics/haproxy", "/diff", "/services", "/log-level"}
	for name := range services {
		list = append(list, "/explain?service="+name)
	}
	return list
}

// complained waits until the log tells that each of the services fails.
func complained(t *testing.T, p *servers.Process, services object) {
	t.Helper()
	servers.Eventually(t, func() error {
		for name := range services {
			if !strings.Contains(p.Log(), "service="+name+" ") {
				return fmt.Errorf("nothing is said of %s", name)
			}
		}
		return nil
	})
}

func TestSynapseTellsNoSecret(t *testing.T) {
	s := newStage(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://"+dead)
	follow := func(discovery object) object {
		return object{"discovery": discovery, "haproxy": object{"port": servers.FreePort(t)}}
	}
	services := object{
		"zookeeper": follow(object{"method": "zookeeper", "path": "/x", "hosts": []string{dead}, "zk_auth": []string{"digest:u:" + planted + "zk"}}),
		"consul":    follow(object{"method": "consul", "service": "x", "hosts": []string{dead}, "token": planted + "consul"}),
		"marathon":  follow(object{"method": "marathon", "application_name": "x", "marathon_api_url": "http://" + dead, "user": "u", "password": planted + "marathon"}),
		"bearer":    follow(object{"method": "marathon", "application_name": "x", "marathon_api_url": "http://" + dead, "token": planted + "bearer"}),
		"etcd":      follow(object{"method": "etcd", "path": "/x", "hosts": []string{dead}, "username": "u", "password": planted + "etcd"}),
		"ec2":       follow(object{"method": "ec2tag", "tag_name": "x", "tag_value": "y", "port_tag": "p", "aws_region": "eu-west-1", "aws_access_key_id": "A", "aws_secret_access_key": planted + "ec2"}),
	}
	text, err := json.Marshal(object{
		"services": services, "start_deadline": 1,
		"control": object{"socket": s.path("s.sock"), "listen": s.page, "token_file": s.path("token")},
		"haproxy": object{
			"supervise": true, "stop_haproxy_on_exit": true, "config_file_path": s.path("cfg/haproxy.cfg"), "bind_address": "127.0.0.1",
			"extra_sections": object{"listen stats": []string{fmt.Sprintf("bind 127.0.0.1:%d", servers.FreePort(t)), "mode http", "stats enable", "stats uri /s", "stats auth admin:" + planted + "stats"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"s.json": string(text), "token": planted + "token\n"} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.process = servers.Program(t, "synapse", synapse, "-c", s.path("s.json"), "--log-format", "text", "-debug")
	t.Cleanup(func() {
		s.process.Terminate()
		if t.Failed() {
			t.Logf("synapse:\n%s", s.process.Log())
		}
	})
	awaitReady(t, s.page)
	complained(t, s.process, services)
	for _, path := range routes(services) {
		leaks(t, path, bearer(t, s.page, path))
	}
	for _, args := range [][]string{{"status"}, {"diff"}, {"events"}, {"log-level"}, {"check-sources", "--timeout", "1s"}} {
		_, out := s.ask(args...)
		leaks(t, "synapse "+args[0], out)
	}
	leaks(t, "synapse's log", s.process.Log())

	// A login in a URL is refused, without being repeated.
	login := fmt.Sprintf(`{"services": {"m": {"discovery": {"method": "marathon", "application_name": "x", "marathon_api_url": "http://u:%surl@h"}}}, "file_output": {"output_directory": "o"}}`, planted)
	if err := os.WriteFile(s.path("s.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := s.ask("check-sources")
	if leaks(t, "a refused file", out); code == 0 {
		t.Errorf("a login in a URL is taken:\n%s", out)
	}
}

func TestNerveTellsNoSecret(t *testing.T) {
	s := &sidecar{dir: t.TempDir(), page: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))}
	service := func(check, reporter object) object {
		o := object{"host": "127.0.0.1", "port": 9, "checks": []object{check}}
		maps.Copy(o, reporter)
		return o
	}
	file := object{"reporter_type": "file", "path": s.path("reg")}
	check := func(kind string, more object) object {
		o := object{"type": kind, "host": "127.0.0.1", "port": 9, "timeout": 1, "user": "u", "username": "u", "password": planted + kind}
		maps.Copy(o, more)
		return o
	}
	mysql, postgres, rabbitmq, redis := check("mysql", nil), check("postgres", nil), check("rabbitmq", nil), check("redis", nil)
	delete(mysql, "username")
	delete(postgres, "username")
	delete(rabbitmq, "user")
	delete(redis, "user")
	services := object{
		"mysql": service(mysql, file), "postgres": service(postgres, file), "rabbitmq": service(rabbitmq, file), "redis": service(redis, file),
		"zookeeper": service(object{"type": "tcp", "timeout": 1}, object{"reporter_type": "zookeeper", "zk_path": "/x", "zk_hosts": []string{dead}, "zk_auth": []string{"digest:u:" + planted + "zk"}}),
		"etcd":      service(object{"type": "tcp", "timeout": 1}, object{"reporter_type": "etcd", "etcd_host": "127.0.0.1", "etcd_port": 9, "etcd_path": "/x", "etcd_username": "u", "etcd_password": planted + "etcd"}),
	}
	text, err := json.Marshal(object{
		"instance_id": "i-1", "services": services,
		"control": object{"socket": s.path("s"), "listen": s.page, "token_file": s.path("token")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"n.json": string(text), "token": planted + "token\n"} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.process = servers.Program(t, "nerve", nerve, "-c", s.path("n.json"), "--log-format", "text", "-debug")
	t.Cleanup(s.process.Terminate)
	servers.Eventually(t, func() error {
		if out := s.process.Log(); !strings.Contains(out, "the program answers") {
			return errors.New(out)
		}
		return nil
	})
	complained(t, s.process, services)
	for _, path := range routes(services) {
		leaks(t, path, bearer(t, s.page, path))
	}
	for _, args := range [][]string{{"status"}, {"events"}, {"log-level"}} {
		_, out := ask(t, nerve, append(args, "--socket", s.path("s"))...)
		leaks(t, "nerve "+args[0], out)
	}
	leaks(t, "nerve's log", s.process.Log())
}
