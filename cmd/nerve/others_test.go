package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// airbnbs are the samples of the original: the texts are ours, the keys are
// theirs. Words in capitals are replaced.
var airbnbs = map[string]string{
	"nerve.conf.json": `{
		"instance_id": "mymachine", "service_conf_dir": "DIR/services", "max_repeated_report_failures": 10,
		"statsd": {"host": "localhost", "port": 8125},
		"services": {
			"your_http_service": {"host": "127.0.0.1", "port": WEB, "reporter_type": "zookeeper", "zk_hosts": ["ZK"],
				"zk_path": "/nerve/services/your_http_service/services", "check_interval": 2,
				"checks": [{"type": "http", "uri": "/health", "timeout": 5, "rise": 3, "fall": 2}]},
			"your_tcp_service": {"host": "127.0.0.1", "port": WEB, "reporter_type": "zookeeper", "zk_hosts": ["ZK"],
				"zk_path": "/nerve/services/your_tcp_service/services", "check_interval": 2,
				"checks": [{"type": "tcp", "timeout": 5, "rise": 3, "fall": 2}]},
			"rabbitmq_service": {"host": "127.0.0.1", "port": RABBIT, "reporter_type": "zookeeper", "zk_hosts": ["ZK"],
				"zk_path": "/nerve/services/your_rabbitmq_service/services", "check_interval": 2,
				"checks": [{"type": "rabbitmq", "username": "guest", "password": "guest", "timeout": 20}]}
		}}`,
	"services/zookeeper_service1.json": `{"host": "127.0.0.1", "port": WEB, "reporter_type": "zookeeper", "zk_hosts": ["ZK"],
		"zk_path": "/nerve/services/service1/services", "check_interval": 2, "weight": 2,
		"checks": [{"type": "http", "uri": "/health", "timeout": 5, "rise": 3, "fall": 2}]}`,
	"services/etcd_service1.json": `{"host": "127.0.0.1", "port": WEB, "reporter_type": "etcd", "etcd_host": "127.0.0.1", "etcd_port": ETCD,
		"etcd_path": "/nerve/services/your_http_service/services", "check_interval": 2,
		"checks": [{"type": "http", "uri": "/health", "timeout": 5, "rise": 3, "fall": 2}]}`,
	"services/ill.json": `{"host": "127.0.0.1", "port": WEB, "zk_hosts": ["ZK"], "zk_path": "/nerve/services/ill/services",
		"checks": [{"type": "http", "uri": "/version", "timeout": 5}]}`,
}

// blablacars are those of blablacar's rewrite. The warm-up is shorter, so that
// the whole weight is soon there.
var blablacars = map[string]string{
	"http-zookeeper.yml": `
services:
  - host: 127.0.0.1
    port: WEB
    preferIpv4: true
    rise: 10
    fall: 2
    checkIntervalInMilli: 1000
    enableWarmupIntervalInMilli: 1
    checks:
      - {type: http, path: /version, timeoutInMilli: 5000}
    reporters:
      - {type: zookeeper, path: /services/api/yml, hosts : ['ZK'], exposeOnUnavailable: true}
    haproxyServerOptions: backup
    labels:
      service: theirs
      host: srv42
`,
	"http-zookeeper.json": `{"services": [
		{"host": "127.0.0.1", "port": WEB, "preferIpv4": true, "rise": 10, "fall": 2, "checkIntervalInMilli": 1000, "enableWarmupIntervalInMilli": 1,
			"checks": [{"type": "http", "path": "/version", "timeoutInMilli": 5000}], "reporterServiceName": "tot42",
			"reporters": [{"type": "zookeeper", "path": "/services/api/json", "hosts": ["ZK"], "exposeOnUnavailable": true}],
			"haproxyServerOptions": "backup", "labels": {"service": "theirs", "host": "srv42"}},
		{"host": "127.0.0.1", "excludeFromGlobalDisable": true, "port": OTHER, "enableWarmupIntervalInMilli": 1,
			"reporters": [{"type": "zookeeper", "path": "/monitoring/api/json", "hosts": ["ZK"], "exposeOnUnavailable": true}]},
		{"host": "127.0.0.1", "port": DEAD,
			"reporters": [{"type": "zookeeper", "path": "/monitoring/sql/sql1", "hosts": ["ZK"], "exposeOnUnavailable": true}]}
	]}`,
	"minimal-http-console.yml": "services:\n  - host: 127.0.0.1\n    port: WEB\n    checks:\n      - {type: http}\n",
	"enablecommand.yml": `
services:
  - host: 127.0.0.1
    NoMetricsReport: true
    port: WEB
    disableShutdownCommand: [/bin/sh, -c, "true"]
    disableMinDurationInMilli: 1
    enableCheckStableCommand: [/bin/sh, -c, "true"]
    enableWarmupIntervalInMilli: 1
    enableMaxIntervalInMilli: 60000
    checks:
      - {type: http}
`,
	"templating.yml":     "services:\n  - port: WEB\n    name: {{ .USER }}\n",
	"full-templated.yml": "{{ .NERVE_CONF }}",
}

// The samples of the original and of blablacar's rewrite register what those
// programs registered.
func TestFilesOfOthers(t *testing.T) {
	zk, etcd, rabbit := servers.ZooKeeper(t), servers.Etcd(t), servers.RabbitMQ(t, "")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			w.WriteHeader(http.StatusNotFound) // which blablacar's takes for healthy, and the original does not
		}
	}))
	defer web.Close()
	port := web.Listener.Addr().(*net.TCPAddr).Port
	other, _ := listening(t)
	dead := servers.FreePort(t)
	dir := t.TempDir()
	fill := strings.NewReplacer("ZK", zk.Addr, "DIR", dir, "WEB", strconv.Itoa(port), "OTHER", strconv.Itoa(other), "DEAD", strconv.Itoa(dead),
		"RABBIT", portOf(t, rabbit.Addr), "ETCD", portOf(t, etcd.Addr))
	if err := os.Mkdir(filepath.Join(dir, "services"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range airbnbs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fill.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	theirs := start(t, "-c", filepath.Join(dir, "nerve.conf.json"))
	env := []string{"USER=ann", fill.Replace("NERVE_CONF=services: [{port: WEB, name: whole}]")}
	others := map[string]*process{}
	for name, text := range blablacars {
		others[name] = startWith(t, env, "-c", write(t, name, fill.Replace(text)))
	}

	const begin = `{"host":"127.0.0.1","port":`
	mine := fmt.Sprintf(`%d,"name":"mymachine"`, port)
	full := fmt.Sprintf(`{"available":true,"host":"127.0.0.1","port":%d,"name":"%%s","weight":255,"haproxy_server_options":"backup","labels":{"service":"theirs","host":"srv42"}}`, port)
	inZooKeeper := zooKeeper(t, zk.Addr)
	for _, want := range []struct{ path, node, data string }{
		{"/nerve/services/your_http_service/services", "mymachine", begin + mine + `}`},
		{"/nerve/services/your_tcp_service/services", "mymachine", begin + mine + `}`},
		{"/nerve/services/your_rabbitmq_service/services", "mymachine", begin + portOf(t, rabbit.Addr) + `,"name":"mymachine"}`},
		{"/nerve/services/service1/services", "mymachine", begin + mine + `,"weight":2}`},
		{"/services/api/yml", fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf(full, fmt.Sprintf("127.0.0.1:%d", port))},
		{"/services/api/json", "tot42", fmt.Sprintf(full, "tot42")},
		{"/monitoring/api/json", fmt.Sprintf("127.0.0.1:%d", other), fmt.Sprintf(`{"available":true,"host":"127.0.0.1","port":%d,"name":"127.0.0.1:%[1]d","weight":255}`, other)},
		{
			"/monitoring/sql/sql1", fmt.Sprintf("127.0.0.1:%d", dead),
			fmt.Sprintf(`{"available":false,"unavailable_reason":"127.0.0.1:%d tcp-127.0.0.1:%[1]d: cannot connect: dial tcp 127.0.0.1:%[1]d: connect: connection refused","host":"127.0.0.1","port":%[1]d,"name":"127.0.0.1:%[1]d","weight":255}`, dead),
		},
	} {
		servers.Eventually(t, func() error {
			node, data, err := inZooKeeper(want.path)
			if err == nil && (node != want.node || data != want.data) {
				err = fmt.Errorf("%s/%s holds %s\nwant %s with %s", want.path, node, data, want.node, want.data)
			}
			return err
		})
	}
	inEtcd, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer inEtcd.Close()
	servers.Eventually(t, func() error {
		found, err := inEtcd.Get(t.Context(), "/nerve/services/your_http_service/services/mymachine/", clientv3.WithPrefix())
		if err != nil || len(found.Kvs) != 1 || string(found.Kvs[0].Value) != begin+mine+`}` {
			return fmt.Errorf("%v, %w", found, err)
		}
		return nil
	})
	for name, says := range map[string]string{
		"minimal-http-console.yml": fmt.Sprintf(`"name":"127.0.0.1:%d"`, port),
		"enablecommand.yml":        `"weight":255`,
		"templating.yml":           `"name":"ann"`,
		"full-templated.yml":       `"name":"whole"`,
	} {
		others[name].says(says)
	}
	theirs.says("404")
	if node, _, _ := inZooKeeper("/nerve/services/ill/services"); node != "" {
		t.Errorf("an ill service is registered as %s", node)
	}
	for name, n := range others {
		if strings.Contains(n.out.String(), "unknown option") {
			t.Errorf("some keys of %s are not known:\n%s", name, n.out)
		}
	}
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(addr, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// zooKeeper returns what reads the only node below a path, byte by byte. Of the
// node's name it leaves out the number, which grows with the weight.
func zooKeeper(t *testing.T, addr string) func(path string) (node, data string, err error) {
	t.Helper()
	conn, err := zkconn.NewPool(slog.New(slog.DiscardHandler)).Open(zkconn.Ensemble{Hosts: []string{addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return func(path string) (node, data string, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
		defer cancel()
		list, err := conn.Children(ctx, path)
		switch {
		case err != nil:
			return "", "", err
		case len(list.Names) != 1:
			return "", "", errors.New("not one node")
		}
		n, err := conn.Get(ctx, path+"/"+list.Names[0])
		name := list.Names[0]
		return name[:max(0, len(name)-len("_0000000000"))], string(n.Data), err
	}
}
