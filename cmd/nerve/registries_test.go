package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/etcdconn"
	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
	"smartstack/watchers/etcd"
	"smartstack/watchers/zookeeper"
)

// consumer follows one registry as synapse does.
type consumer struct {
	t    *testing.T
	last atomic.Pointer[service.Update]
	each sync.Map // number of backends -> *atomic.Int64, the updates with so many
}

func (c *consumer) heard(u service.Update) {
	n, _ := c.each.LoadOrStore(u.Backends.Len(), new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	c.last.Store(&u)
}

// seen returns how many updates had so many backends.
func (c *consumer) seen(backends int) int {
	n, ok := c.each.Load(backends)
	if !ok {
		return 0
	}
	return int(n.(*atomic.Int64).Load())
}

func consume(t *testing.T, w service.Watcher, err error) *consumer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c := &consumer{t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.Run(ctx, c.heard); err != nil {
				t.Logf("watcher: %v", err)
				<-time.After(50 * time.Millisecond)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func (c *consumer) sees(backends int) {
	c.t.Helper()
	c.seesWithin(servers.Deadline, backends)
}

func (c *consumer) seesWithin(limit time.Duration, backends int) {
	c.t.Helper()
	servers.Within(c.t, limit, func() error {
		u := c.last.Load()
		if u == nil {
			return errors.New("the watcher has not spoken")
		}
		if u.Backends.Len() != backends {
			return fmt.Errorf("%d backends, want %d", u.Backends.Len(), backends)
		}
		return nil
	})
}

// One service in two real registries: one that hangs must not hold up the
// other, and both are true again afterwards.
func TestTwoRegistriesAtOnce(t *testing.T) {
	zk, etcdServer := servers.ZooKeeper(t), servers.Etcd(t)
	h := newHost(t)
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {
		"host": "127.0.0.1", "port": %d, "check_interval": 0.1, "checks": [{"type": "tcp", "timeout": 10}],
		"reporters": [
			{"type": "zookeeper", "zk_hosts": [%q], "zk_path": "/services/web"},
			{"type": "etcd", "etcd_host": %q, "etcd_path": "/services/web"}]}}}`, h.port, zk.Addr, etcdServer.Addr))
	n := start(t, "-c", h.config)
	log := slog.New(slog.DiscardHandler)
	zkWatcher, err := zookeeper.New(zookeeper.Options{
		Hosts: []string{zk.Addr}, Path: "/services/web", WatchData: "auto",
		Decode: registration.Options{Method: "nerve"},
	}, zkconn.NewPool(log), log)
	inZK := consume(t, zkWatcher, err)
	etcdWatcher, err := etcd.New(etcd.Options{Hosts: []string{etcdServer.Addr}, Path: "/services/web"}, etcdconn.NewPool(log), log)
	inEtcd := consume(t, etcdWatcher, err)
	inZK.sees(1)
	inEtcd.sees(1)

	zk.Pause()
	h.listener.Close()
	inEtcd.sees(0)
	zk.Resume()
	inZK.sees(0)

	etcdServer.Stop()
	h.listen()
	inZK.sees(1)
	etcdServer.Start()
	inEtcd.sees(1)

	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	inZK.sees(0)
	inEtcd.sees(0)
}
