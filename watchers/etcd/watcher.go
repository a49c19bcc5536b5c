package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"smartstack/internal/etcdconn"
	"smartstack/internal/registration"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Options are the keys of "discovery" with method etcd.
type Options struct {
	Hosts       []string             `cfg:"hosts,required" doc:"Servers of the cluster, host or host:port; the port is 2379 unless given. A URL with https turns TLS on."`
	Path        string               `cfg:"path,required" doc:"Path of the service: each key below it is a backend."`
	Decode      registration.Options `cfg:"decode" doc:"The form of the registrations."`
	SharedWatch bool                 `cfg:"shared_watch" default:"yes" doc:"Follow the parent of path, together with all other services there; no = follow path alone."`
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
	decode  registration.Decoder
	sharing etcdconn.Sharing
	grace   time.Duration
	pulse   service.Pulse
}

// Condition tells whether the path is followed.
func (w *Watcher) Condition() service.Condition { return w.pulse.Condition() }

// New makes the watcher; it does no I/O.
func New(o Options, pool *etcdconn.Pool, log *slog.Logger) (*Watcher, error) {
	target, err := etcdconn.NewTarget(o.Hosts, etcdconn.DefaultPort, o.Access)
	if err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	if strings.TrimSpace(o.Path) == "" {
		return nil, errors.New("path: is empty; for all of the cluster say /")
	}
	decode, err := o.Decode.Decoder()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return &Watcher{
		pool: pool, log: log, target: target, path: etcdconn.CleanPath(o.Path), decode: decode,
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

	known := newTable(w.path, w.decode)
	late := supervise.NewPatience(w.grace)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-late.Over():
			if fault := sub.Fault(); fault != nil {
				return fmt.Errorf("not followed for %v: %w", w.grace, fault)
			}
			late.Observe(false)
		case <-sub.Wake():
			if batch, ok := sub.Take(); ok && known.apply(batch) {
				publish(known.update())
			}
			fault := sub.Fault()
			if late.Observe(fault != nil); fault != nil {
				w.pulse.Tell("", fault)
			} else {
				w.pulse.Tell("", nil)
			}
		}
	}
}
