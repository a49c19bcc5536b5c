package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// registry is the place where nerve writes and synapse reads. Our own view of
// it is independent of both.
type registry interface {
	// process returns the server to start, nil when there is none, and the
	// condition for its being ready.
	process() (p *process, ready func() error)
	// watch calls seen with the hosts that are registered, at first and after
	// every change, until ctx ends.
	watch(ctx context.Context, seen func(map[string]bool)) error
}

func newRegistry(kind, dir, addr string) (registry, error) {
	switch kind {
	case "file":
		return fileRegistry{filepath.Join(dir, "registry")}, nil
	case "zookeeper":
		return zkRegistry{dir, addr}, nil
	case "etcd":
		return etcdRegistry{dir, addr}, nil
	default:
		return nil, fmt.Errorf("no registry %q: want file, zookeeper or etcd", kind)
	}
}

// fileRegistry is a directory with a file <host>_<address>_<port>.json each.
type fileRegistry struct{ dir string }

func (r fileRegistry) process() (*process, func() error) { return nil, nil }

func (r fileRegistry) watch(ctx context.Context, seen func(map[string]bool)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		files, err := os.ReadDir(r.dir)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		hosts := make(map[string]bool)
		for _, f := range files {
			if host, _, ok := strings.Cut(f.Name(), "_"); ok && strings.HasSuffix(f.Name(), ".json") {
				hosts[host] = true
			}
		}
		seen(hosts)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// zkRegistry is a ZooKeeper with a node /services/web/<host>_<sequence> each.
type zkRegistry struct{ dir, addr string }

func (r zkRegistry) process() (*process, func() error) {
	_, port, _ := net.SplitHostPort(r.addr)
	cfg := filepath.Join(r.dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=500\ndataDir=%s\nclientPortAddress=127.0.0.1\nclientPort=%s\n"+
		"maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\nforceSync=no\n",
		filepath.Join(r.dir, "zookeeper"), port)
	p := &process{name: "zookeeper", dir: r.dir, argv: []string{
		"java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", "/usr/share/java/zookeeper.jar",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg,
	}}
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		return p, func() error { return err }
	}
	return p, r.serves
}

// serves asks for the server's state: it accepts before it serves.
func (r zkRegistry) serves() error {
	c, err := net.DialTimeout("tcp", r.addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, "srvr")
	if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), "Mode:") {
		return fmt.Errorf("answers %q: %w", answer, err)
	}
	return nil
}

func (r zkRegistry) watch(ctx context.Context, seen func(map[string]bool)) error {
	conn, _, err := zk.Connect([]string{r.addr}, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		names, _, changed, err := conn.ChildrenW("/services/web")
		var retry <-chan time.Time
		if err != nil { // not made yet, or the server is away for a moment
			retry = time.After(20 * time.Millisecond)
		} else {
			hosts := make(map[string]bool)
			for _, name := range names {
				host, _, _ := strings.Cut(name, "_")
				hosts[host] = true
			}
			seen(hosts)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-retry:
		}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

// etcdRegistry is an etcd with a key /services/web/<host>/<n> each.
type etcdRegistry struct{ dir, addr string }

func (r etcdRegistry) process() (*process, func() error) {
	p := &process{name: "etcd", dir: r.dir}
	peer, err := freePort()
	if err != nil {
		return p, func() error { return err }
	}
	client, peerURL := "http://"+r.addr, fmt.Sprintf("http://127.0.0.1:%d", peer)
	// env: where etcd calls the processor unsupported it wants to hear that we know.
	p.argv = []string{
		"env", "ETCD_UNSUPPORTED_ARCH=arm64", "etcd", "--name", "demo",
		"--data-dir", filepath.Join(r.dir, "etcd"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL,
		"--initial-cluster", "demo=" + peerURL, "--unsafe-no-fsync",
	}
	return p, func() error {
		resp, err := http.Get(client + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); !strings.Contains(string(body), `"true"`) {
			return fmt.Errorf("answers %s", body)
		}
		return nil
	}
}

func (r etcdRegistry) watch(ctx context.Context, seen func(map[string]bool)) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{r.addr}, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	const prefix = "/services/web/"
	now, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	keys := make(map[string]bool)
	for _, kv := range now.Kvs {
		keys[string(kv.Key)] = true
	}
	tell := func() {
		hosts := make(map[string]bool)
		for k := range keys {
			host, _, _ := strings.Cut(strings.TrimPrefix(k, prefix), "/")
			hosts[host] = true
		}
		seen(hosts)
	}
	tell()
	for resp := range client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1)) {
		for _, ev := range resp.Events {
			if ev.Type == clientv3.EventTypeDelete {
				delete(keys, string(ev.Kv.Key))
			} else {
				keys[string(ev.Kv.Key)] = true
			}
		}
		tell()
	}
	return nil
}
