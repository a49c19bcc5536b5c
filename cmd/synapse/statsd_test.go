package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// made makes a node with everything above it.
func made(t *testing.T, c *zkconn.Conn, node, data string) {
	t.Helper()
	if err := c.MakePath(t.Context(), filepath.Dir(node)); err != nil {
		t.Fatal(err)
	}
	p, err := c.Create(t.Context(), node, []byte(data), zkconn.Persistent)
	if err == nil {
		_, err = p.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every metric of the original that a healthy and a half-broken registry give
// rise to comes under its name, with its tags, at a real UDP port.
func TestTheOriginalsMetrics(t *testing.T) {
	zk, agent := servers.ZooKeeper(t), servers.NewAgent(t)
	pool := zkconn.NewPool(slog.New(slog.DiscardHandler))
	c, err := pool.Open(zkconn.Ensemble{Hosts: []string{zk.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made(t, c, "/s/web/w_0000000001", `{"host":"10.0.0.1","port":80,"name":"w"}`)
	made(t, c, "/s/web/w_0000000002", `{"host":`)
	made(t, c, "/options", `{`)
	dir := t.TempDir()
	file := filepath.Join(dir, "s.json")
	text := fmt.Sprintf(`{"statsd": {"host": "127.0.0.1", "port": %d}, "start_deadline": 1, "file_output": {"output_directory": %q}, "services": {
		"web": {"discovery": {"method": "zookeeper", "hosts": [%[3]q], "path": "/s/web", "generator_config_path": "/options"}},
		"new": {"discovery": {"method": "zookeeper", "hosts": [%[3]q], "path": "/s/new"}},
		"polled": {"discovery": {"method": "zookeeper_poll", "hosts": [%[3]q], "path": "/s/web", "polling_interval_sec": 0.5}},
		"names": {"discovery": {"method": "dns", "servers": [{"name": "x", "host": "x.example.com", "port": 80}], "nameserver": "127.0.0.1:9"}},
		"many": {"discovery": {"method": "multi", "resolver": {"method": "sequential", "sequential_order": ["a", "b"]}, "watchers": {
			"a": {"method": "zookeeper", "hosts": [%[3]q], "path": "/s/none"},
			"b": {"method": "zookeeper", "hosts": [%[3]q], "path": "/s/web"}}}}}}`, agent.Port, filepath.Join(dir, "out"), zk.Addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	var errs bytes.Buffer
	go func() { done <- run(ctx, []string{"-c", file}, env(), &errs, &errs) }()
	defer func() { cancel() }()
	web := "zk_cluster:" + zk.Addr + ",service_name:web" // of an address all is kept
	webPath := "zk_cluster:" + zk.Addr + ",zk_path:/s/web,service_name:web"
	agent.Await(
		"synapse.start:1|c",
		"synapse.watchers.start.time:N|ms",
		"synapse.watcher.start:1|c|#start_result:success,watcher_name:web",
		"synapse.watcher.start:1|c|#start_result:fail,watcher_name:names,exception_name:",
		"synapse.watcher.ping.count:1|c|#watcher_name:web,ping_result:success,synapse_version:dev",
		"synapse.watcher.ping.count:1|c|#watcher_name:names,ping_result:failure,synapse_version:dev",
		"synapse.config.update:1|c",
		"synapse.watcher.zk.connect.elapsed_time:N|ms|#"+web,
		"synapse.watcher.zk.create_path.elapsed_time:N|ms|#zk_cluster:"+zk.Addr+",service_name:new",
		"synapse.watcher.zk.discovery:1|c|#"+webPath,
		"synapse.watcher.zk.discovery.elapsed_time:N|ms|#"+webPath,
		"synapse.watcher.zk.children.elapsed_time:N|ms|#"+web,
		"synapse.watcher.zk.children.bytes:N|g|#zk_cluster:"+zk.Addr+",zk_path:/s/web",
		"synapse.watcher.zk.children.failed:1|c|#zk_cluster:"+zk.Addr+",service_name:new",
		"synapse.watcher.zk.get.elapsed_time:N|ms|#"+web,
		"synapse.watcher.zk.watch.elapsed_time:N|ms|#"+webPath,
		"synapse.watcher.zk.client.created:1|c|#zk_cluster:"+zk.Addr+",service_name:",
		"synapse.watcher.zk.client.reused:1|c|#zk_cluster:"+zk.Addr+",service_name:",
		"synapse.watcher.zk.parse_child_failed:1|c",
		"synapse.watcher.zk.get_config_failed:1|c",
		"synapse.watcher.zookeeper_poll.discover:1|c",
		"synapse.watcher.dns.resolve_failed:1|c|#service_name:names",
		"synapse.watcher.multi.start:1|c",
		"synapse.watcher.multi.resolver.sequential.switch:1|c|#result:success,watcher:b",
	)
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("code %d: %s", code, errs.String())
	}
	agent.Await(
		"synapse.stop:1|c|#stop_avenue:clean,stop_location:main_loop",
		"synapse.main_loop.elapsed_time:N|ms",
		"synapse.watcher.stop:1|c|#stop_avenue:clean,stop_location:main_loop,watcher_name:web",
		"synapse.watcher.multi.stop:1|c",
	)
}
