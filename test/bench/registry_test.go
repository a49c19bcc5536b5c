package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// registry is a real registry, and a hand that writes into it.
type registry interface {
	name() string
	// discovery is how synapse is told about the service at path.
	discovery(path string) object
	// fill registers the hosts below each path.
	fill(paths []string, hosts func(path int) []service.Backend)
	// add registers one more backend; the write is acknowledged when it
	// returns. remove takes it away again.
	add(path string, be service.Backend) (remove func())
}

func eachRegistry(b *testing.B) []registry { return []registry{newZooKeeper(b), newEtcd(b)} }

// backends are n addresses that are different for every fleet and service.
func backends(fleet, svc, n int) []service.Backend {
	var list []service.Backend
	for i := range n {
		list = append(list, service.Backend{
			Name: fmt.Sprintf("i-%d-%d-%d", fleet, svc, i), Host: fmt.Sprintf("10.%d.%d.%d", 60*fleet+svc/250, svc%250, i+1), Port: 8000,
		})
	}
	return list
}

type zooKeeper struct {
	b      *testing.B
	server *servers.Process
	conn   *zkconn.Conn
}

func newZooKeeper(b *testing.B) *zooKeeper {
	b.Helper()
	z := &zooKeeper{b: b, server: servers.ZooKeeper(b)}
	var err error
	z.conn, err = zkconn.NewPool(slog.New(slog.DiscardHandler)).Open(zkconn.Ensemble{Hosts: []string{z.server.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(z.conn.Close)
	return z
}

func (z *zooKeeper) name() string { return "ZooKeeper" }

func (z *zooKeeper) discovery(path string) object {
	return object{"method": "zookeeper", "hosts": []string{z.server.Addr}, "path": path}
}

func (z *zooKeeper) fill(paths []string, hosts func(int) []service.Backend) {
	z.b.Helper()
	var all []*zkconn.Pending[string]
	for i, p := range paths {
		z.must(z.conn.MakePath(z.b.Context(), p))
		for _, be := range hosts(i) {
			all = append(all, z.create(p, be))
		}
	}
	for _, p := range all {
		_, err := p.Wait(z.b.Context())
		z.must(err)
	}
}

func (z *zooKeeper) create(dir string, be service.Backend) *zkconn.Pending[string] {
	p, err := z.conn.Create(z.b.Context(), path.Join(dir, be.Name+"_"), service.EncodePayload(be), zkconn.EphemeralSequential)
	z.must(err)
	return p
}

func (z *zooKeeper) add(dir string, be service.Backend) func() {
	node, err := z.create(dir, be).Wait(z.b.Context())
	z.must(err)
	return func() {
		p, err := z.conn.Delete(z.b.Context(), node, zkconn.AnyVersion)
		z.must(err)
		_, err = p.Wait(z.b.Context())
		z.must(err)
	}
}

func (z *zooKeeper) must(err error) {
	z.b.Helper()
	if err != nil {
		z.b.Fatal(err)
	}
}

type etcd struct {
	b      *testing.B
	server *servers.Process
	client *clientv3.Client
}

func newEtcd(b *testing.B) *etcd {
	b.Helper()
	e := &etcd{b: b, server: servers.Etcd(b)}
	var err error
	if e.client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.server.Addr}, DialTimeout: 5 * time.Second}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.client.Close() })
	return e
}

func (e *etcd) name() string { return "etcd" }

func (e *etcd) discovery(path string) object {
	return object{"method": "etcd", "hosts": []string{e.server.Addr}, "path": path}
}

func (e *etcd) fill(paths []string, hosts func(int) []service.Backend) {
	e.b.Helper()
	for i, p := range paths {
		var puts []clientv3.Op
		for _, be := range hosts(i) {
			puts = append(puts, clientv3.OpPut(path.Join(p, be.Name), string(service.EncodePayload(be))))
		}
		e.must(func(ctx context.Context) error {
			_, err := e.client.Txn(ctx).Then(puts...).Commit()
			return err
		})
	}
}

func (e *etcd) add(dir string, be service.Backend) func() {
	key := path.Join(dir, be.Name)
	e.must(func(ctx context.Context) error {
		_, err := e.client.Put(ctx, key, string(service.EncodePayload(be)))
		return err
	})
	return func() {
		e.must(func(ctx context.Context) error {
			_, err := e.client.Delete(ctx, key)
			return err
		})
	}
}

func (e *etcd) must(f func(context.Context) error) {
	e.b.Helper()
	ctx, cancel := context.WithTimeout(e.b.Context(), 10*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		e.b.Fatal(err)
	}
}
