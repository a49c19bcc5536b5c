package main

import (
	"fmt"
	"slices"
	"syscall"
	"testing"

	"smartstack/test/servers"
)

// Every metric of the original comes under its name, with its tags, at a real
// UDP port, from a nerve that lives through all that the original had one for.
func TestTheOriginalsMetrics(t *testing.T) {
	zk, agent := servers.ZooKeeper(t), servers.NewAgent(t)
	h := newHost(t)
	write := func(weight int, more string) {
		h.write(fmt.Sprintf(`{"instance_id": "i-1", "statsd": {"host": "127.0.0.1", "port": %d, "sample_rate": {"nerve.start": 1}}, "services": {
			"web": {"host": "127.0.0.1", "port": %d, "weight": %d, "check_interval": 0.1, "zk_hosts": [%q], "zk_path": "/s/web",
				"use_path_encoding": true, "rate_limiting": {"average_rate": 0.0001, "max_burst": 1, "shadow_mode": true},
				"flap_damping": {"enabled": false}, "checks": [{"type": "tcp", "name": "listens", "timeout": 5}]}%s}}`,
			agent.Port, h.port, weight, zk.Addr, more))
	}
	write(7, fmt.Sprintf(`, "old": {"host": "127.0.0.1", "port": 1, "check_interval": 0.1, "zk_hosts": [%q], "zk_path": "/s/old",
		"zk_cluster_name": "main", "node_type": "persistent", "ttl_seconds": 0.1}`, zk.Addr))
	n := start(t, "-c", h.config)
	cluster := "zk_cluster:" + zk.Addr // of an address all is kept
	agent.Await(
		"nerve.start:1|c",
		"nerve.config.update:1|c",
		"nerve.watcher.launch:1|c|#launch_reason:new,watcher_name:web",
		"nerve.watcher.start:1|c|#service_name:web",
		"nerve.watcher.status.ping.count:1|c|#ping_result:success,service_name:web,nerve_version:dev",
		"nerve.watcher.status.service_check:1|c|#check_result:up,service_name:web,check_name:listens",
		"nerve.watcher.status.transition:1|c|#new_status:up,service_name:web",
		"nerve.watcher.status.report.count:1|c|#report_result:success,service_name:web",
		"nerve.reporter.zk.client.created:1|c|#zk_cluster:",
		"nerve.reporter.zk.client.reused:1|c|#zk_cluster:",
		"nerve.reporter.zk.child.bytes:N|g|#"+cluster+",zk_path:/s/web",
		"nerve.reporter.zk.create.elapsed_time:N|ms|#"+cluster+",zk_path:/s/web",
		"nerve.reporter.zk.save.elapsed_time:N|ms|#zk_cluster:main",
		"nerve.reporter.zk.ttl.renew:1|c|#zk_cluster:main,result:success",
	)

	h.listener.Close()
	agent.Await(
		"nerve.watcher.status.service_check:1|c|#check_result:down,service_name:web,check_name:listens",
		"nerve.watcher.status.transition:1|c|#new_status:down,service_name:web",
		"nerve.watcher.throttled:1|c|#service_name:web,shadow_mode:true",
		"nerve.reporter.zk.delete.elapsed_time:N|ms|#"+cluster,
	)

	h.listen()
	write(8, "")
	n.signal(syscall.SIGHUP)
	agent.Await(
		"nerve.watcher.launch:1|c|#launch_reason:update,watcher_name:web",
		"nerve.watcher.reap:1|c|#reap_reason:update,watcher_name:web",
		"nerve.watcher.reap:1|c|#reap_reason:old,watcher_name:old",
		"nerve.watcher.stop:1|c|#stop_avenue:clean,stop_location:main_loop,service_name:old",
	)

	n.signal(syscall.SIGTERM)
	n.exit()
	agent.Await(
		"nerve.watcher.stop:1|c|#stop_avenue:clean,stop_location:main_loop,service_name:web",
		"nerve.main_loop.elapsed_time:N|ms",
		"nerve.stop:1|c|#stop_avenue:clean,stop_location:main_loop",
	)
	all := []string{
		"nerve.config.update", "nerve.main_loop.elapsed_time", "nerve.reporter.zk.child.bytes", "nerve.reporter.zk.client.created",
		"nerve.reporter.zk.client.reused", "nerve.reporter.zk.create.elapsed_time", "nerve.reporter.zk.delete.elapsed_time",
		"nerve.reporter.zk.save.elapsed_time", "nerve.reporter.zk.ttl.renew", "nerve.start", "nerve.stop", "nerve.watcher.launch",
		"nerve.watcher.reap", "nerve.watcher.start", "nerve.watcher.status.ping.count", "nerve.watcher.status.report.count",
		"nerve.watcher.status.service_check", "nerve.watcher.status.transition", "nerve.watcher.stop", "nerve.watcher.throttled",
	}
	if got := agent.Names(); !slices.Equal(got, all) {
		t.Errorf("got  %v\nwant %v", got, all)
	}
}
