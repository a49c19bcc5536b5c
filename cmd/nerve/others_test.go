package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
	"smartstack/watchers/zookeeper"
)

// The files of the original and of blablacar's rewrite register what those
// programs registered. The texts are ours, the keys are those of the samples
// that they ship.
func TestFilesOfOthers(t *testing.T) {
	zk := servers.ZooKeeper(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound) // which blablacar's takes for healthy, and the original does not
	}))
	defer web.Close()
	port := web.Listener.Addr().(*net.TCPAddr).Port
	dir := filepath.Join(t.TempDir(), "services")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	airbnbs := fmt.Sprintf(`{
		"instance_id": "host-1", "service_conf_dir": %q, "max_repeated_report_failures": 10,
		"statsd": {"host": "localhost", "port": 8125},
		"services": {
			"by_http": {"host": "127.0.0.1", "port": %d, "reporter_type": "zookeeper", "zk_hosts": [%q], "zk_path": "/nerve/by_http/services",
				"check_interval": 2, "checks": [{"type": "http", "uri": "/health", "timeout": 5, "open_timeout": 5, "rise": 3, "fall": 2}]},
			"by_rabbitmq": {"host": "127.0.0.1", "port": %d, "reporter_type": "zookeeper", "zk_hosts": [%q], "zk_path": "/nerve/by_rabbitmq/services",
				"check_interval": 2, "checks": [{"type": "rabbitmq", "username": "guest", "password": "guest"}]}
		}}`, dir, port, zk.Addr, port, zk.Addr)
	byTCP := fmt.Sprintf(`{"host": "127.0.0.1", "port": %d, "reporter_type": "zookeeper", "zk_hosts": [%q], "zk_path": "/nerve/by_tcp/services",
		"check_interval": 2, "weight": 2, "labels": {"az": "a"}, "haproxy_server_options": "check",
		"checks": [{"type": "tcp", "timeout": 5, "rise": 3, "fall": 2}]}`, port, zk.Addr)
	if err := os.WriteFile(filepath.Join(dir, "by_tcp.json"), []byte(byTCP), 0o644); err != nil {
		t.Fatal(err)
	}
	blablacars := fmt.Sprintf(`
services:
  - host: 127.0.0.1
    port: %d
    preferIpv4: true
    rise: 10
    fall: 2
    checkIntervalInMilli: 1000
    enableWarmupIntervalInMilli: 1
    checks:
      - {type: http, path: /version, timeoutInMilli: 5000}
    reporters:
      - {type: zookeeper, path: /services/api/mine, hosts: ['%s'], exposeOnUnavailable: true}
      - {type: console}
    haproxyServerOptions: backup
    labels:
      service: theirs
  - name: second
    port: %d
    NoMetricsReport: true
    disableShutdownCommand: [/bin/sh, -c, "true"]
    disableMinDurationInMilli: 1
`, port, zk.Addr, port)
	theirs := start(t, "-c", write(t, "airbnb.json", airbnbs))
	others := start(t, "-c", write(t, "blablacar.yml", blablacars))

	alone := func(path string) func() (service.Backend, error) {
		log := slog.New(slog.DiscardHandler)
		w, err := zookeeper.New(zookeeper.Options{Hosts: []string{zk.Addr}, Path: path, WatchData: "auto", Decode: registration.Options{Method: "nerve"}}, zkconn.NewPool(log), log)
		c := consume(t, w, err)
		return func() (service.Backend, error) {
			u := c.last.Load()
			if u == nil || u.Backends.Len() != 1 {
				return service.Backend{}, fmt.Errorf("%s: %+v", path, u)
			}
			for b := range u.Backends.All() {
				b.ID = service.Int{}
				return b, nil
			}
			return service.Backend{}, nil
		}
	}
	for path, want := range map[string]service.Backend{
		"/nerve/by_tcp/services": {Name: "host-1", Host: "127.0.0.1", Port: port, Weight: service.KnownInt(2), ServerOptions: "check", Labels: `{"az":"a"}`},
		"/services/api/mine": {
			Name: fmt.Sprintf("127.0.0.1:%d", port), Host: "127.0.0.1", Port: port, Weight: service.KnownInt(255),
			ServerOptions: "backup", Labels: `{"service":"theirs"}`,
		},
	} {
		registered := alone(path)
		servers.Eventually(t, func() error {
			got, err := registered()
			if d := cmp.Diff(want, got); err == nil && d != "" {
				err = fmt.Errorf("%s (-want +got):\n%s", path, d)
			}
			return err
		})
	}
	theirs.says("by_http")
	theirs.says("404")
	theirs.says("by_rabbitmq")
	if strings.Contains(others.out.String(), "unknown option") {
		t.Errorf("some of blablacar's keys are not known:\n%s", others.out)
	}
}
