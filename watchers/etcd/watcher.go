package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
)

// Options are the keys of "discovery" with method etcd.
type Options struct {
	Hosts       []string `cfg:"hosts,required" doc:"Servers of the cluster, host or host:port; the port is 2379 unless given. A URL with https turns TLS on."`
	Path        string   `cfg:"path,required" doc:"Path of the service: each key below it is a backend."`
	SharedWatch bool     `cfg:"shared_watch" default:"yes" doc:"Follow the parent of path, together with all other services there; no = follow path alone."`
	etcdconn.Access
}

// grace is how long the cluster may be out of reach before Run says so.
const grace = 10 * time.Second

// Watcher follows one service in etcd.
type Watcher struct {
	pool    *etcdconn.Pool
	log     *slog.Logger
	target  etcdconn.Target
	path    string
	sharing etcdconn.Sharing
	grace   time.Duration
}

// New makes the watcher; it does no I/O.
func New(o Options, pool *etcdconn.Pool, log *slog.Logger) (*Watcher, error) {
	target, err := etcdconn.NewTarget(o.Hosts, etcdconn.DefaultPort, o.Access)
	if err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	return &Watcher{
		pool: pool, log: log, target: target, path: etcdconn.CleanPath(o.Path),
		sharing: etcdconn.Sharing(o.SharedWatch), grace: grace,
	}, nil
}

// Run follows the path until ctx ends, or until the cluster has been out of
// reach for too long.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	cluster := w.pool.Acquire(w.target)
	defer cluster.Release()
	sub := cluster.Subscribe(w.path, w.sharing)
	defer sub.Close()

	known := newTable(w.path)
	late := time.NewTimer(w.grace)
	defer late.Stop()
	waiting := true // late is running
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late.C:
			if fault := sub.Fault(); fault != nil {
				return fmt.Errorf("not followed for %v: %w", w.grace, fault)
			}
			waiting = false
		case <-sub.Wake():
			if batch, ok := sub.Take(); ok && known.apply(batch) {
				publish(known.update())
			}
			switch out := sub.Fault() != nil; {
			case out && !waiting:
				late.Reset(w.grace)
				waiting = true
			case !out && waiting:
				late.Stop()
				waiting = false
			}
		}
	}
}
