package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
)

// Options are a service's keys with reporter_type etcd.
type Options struct {
	Hosts []string       `cfg:"etcd_host|etcd_hosts,required" doc:"Servers of the cluster, one or a list, host or host:port. A URL with https turns TLS on."`
	Port  int            `cfg:"etcd_port" default:"2379" doc:"Port of the hosts that name none."`
	Path  string         `cfg:"etcd_path" default:"/" doc:"Path of the service; the registration is <etcd_path>/<instance_id>/<number>."`
	TTL   config.Seconds `cfg:"lease_ttl|ttl" default:"10" doc:"How long a registration outlives a process that has died, in seconds, from 2 to 3600. Shorter is sooner and costs more keep-alives."`
	etcdconn.Access
}

// The bounds of lease_ttl. etcd itself grants no less than 1.5 times its
// election timeout.
const (
	minTTL = 2 * time.Second
	maxTTL = time.Hour
)

// Reporter keeps one registration.
type Reporter struct {
	pool   *etcdconn.Pool
	log    *slog.Logger
	target etcdconn.Target
	path   string // without a trailing slash; "" = the root
	user   bool   // the cluster asks who we are
	ttl    time.Duration

	cluster *etcdconn.Cluster // nil until it is needed
	session *etcdconn.Session
	dir     *directory // what the cluster holds; nil until it is needed
	mine    registration
	gone    []string // keys that we have deleted, the latest ones
	goneRev int64    // when the last of them was
}

// registration is what we wrote last, or tried to.
type registration struct {
	key   string // "" = none
	value []byte
	lease clientv3.LeaseID
	rev   int64    // at which it was written; 0 = the write's outcome is unknown
	stale []string // earlier keys of ours that may be left
}

// New makes the reporter; it does no I/O.
func New(o Options, pool *etcdconn.Pool, log *slog.Logger) (*Reporter, error) {
	target, err := etcdconn.NewTarget(o.Hosts, o.Port, o.Access)
	if err != nil {
		return nil, fmt.Errorf("etcd_host: %w", err)
	}
	ttl := o.TTL.Duration()
	if ttl < minTTL || ttl > maxTTL {
		return nil, fmt.Errorf("lease_ttl: want %v to %v, got %v", minTTL, maxTTL, ttl)
	}
	path := strings.TrimSuffix(etcdconn.CleanPath(o.Path), "/")
	return &Reporter{pool: pool, log: log, target: target, path: path, user: o.Username != "", ttl: ttl}, nil
}

// Report makes r true. It asks the cluster only when something is to be done:
// what was written is watched, not asked for.
func (r *Reporter) Report(ctx context.Context, reg service.Registration) error {
	ctx, cancel := context.WithTimeout(ctx, etcdconn.CallTimeout)
	defer cancel()
	r.look()
	if !reg.Up {
		return r.withdraw(ctx)
	}
	if err := r.prepare(reg.Backend.Name); err != nil {
		return err
	}
	lease, err := r.session.Lease(ctx)
	if err != nil {
		return err
	}
	value := reg.Payload()
	if r.stands(value, lease) && len(r.mine.stale) == 0 {
		return nil
	}
	err = r.write(ctx, value, lease)
	if !etcdconn.IsLeaseGone(err) {
		return err
	}
	if lease, err = r.session.Replace(ctx, lease); err != nil {
		return err
	}
	return r.write(ctx, value, lease)
}

// Stands tells whether Report would have nothing to do.
func (r *Reporter) Stands(reg service.Registration) bool {
	r.look()
	return reg.Up && r.dir != nil && r.stands(reg.Payload(), r.mine.lease) && len(r.mine.stale) == 0
}

// Holds tells whether a key of ours is there, whatever it says.
func (r *Reporter) Holds() bool {
	r.look()
	return r.dir != nil && r.stands(r.mine.value, r.mine.lease)
}

// look takes in what the watch has told. A key that we have deleted and that is
// there again is to be deleted once more: our own write of it may have been
// under way for so long that it overtook the deletion.
func (r *Reporter) look() {
	if r.dir == nil {
		return
	}
	if r.dir.refresh() { // another history: revisions from before mean nothing
		r.mine.rev, r.goneRev = 0, 0
	}
	for _, key := range r.gone {
		if kv := r.dir.keys[key]; kv != nil && kv.Modified > r.goneRev && !slices.Contains(r.mine.stale, key) {
			r.mine.stale = append(r.mine.stale, key)
		}
	}
}

// prepare opens what an upcoming registration needs.
func (r *Reporter) prepare(instance string) error {
	if instance == "" {
		return errors.New("an etcd registration needs a name (nerve's instance_id), and there is none")
	}
	if r.cluster == nil {
		r.cluster = r.pool.Acquire(r.target)
		r.session = r.cluster.Session(r.ttl)
	}
	path := r.path + "/" + instance
	if r.dir != nil && r.dir.path == path {
		return nil
	}
	if r.dir != nil {
		r.dir.sub.Close()
	}
	r.dir = follow(r.cluster, path)
	return nil
}

// stands tells whether the registration is there as wanted. A write is trusted
// until the watch has caught up with it.
func (r *Reporter) stands(value []byte, lease clientv3.LeaseID) bool {
	if r.mine.key == "" || !r.dir.holds(r.mine.key) {
		return false
	}
	if r.dir.rev < r.mine.rev {
		return r.mine.lease == lease && bytes.Equal(r.mine.value, value)
	}
	kv := r.dir.keys[r.mine.key]
	return kv != nil && kv.Lease == int64(lease) && bytes.Equal(kv.Value, value)
}

// vanished tells whether the key was there and is not any more.
func (r *Reporter) vanished() bool {
	return r.mine.rev != 0 && r.dir.rev >= r.mine.rev && r.dir.keys[r.mine.key] == nil
}

// write puts the registration, under a new number unless the old key is still
// ours.
func (r *Reporter) write(ctx context.Context, value []byte, lease clientv3.LeaseID) error {
	client, err := r.cluster.Client(ctx)
	if err != nil {
		return err
	}
	if r.mine.key == "" || r.mine.lease != lease || r.vanished() || !r.dir.holds(r.mine.key) {
		number, err := r.number(ctx, client, lease)
		if err != nil {
			return err
		}
		r.forget()
		r.take(fmt.Sprintf("%s/%020d", r.dir.path, number))
	}
	r.mine.value, r.mine.lease, r.mine.rev = value, lease, 0 // the outcome is unknown until the answer
	ops := append(r.removals(), clientv3.OpPut(r.mine.key, string(value), clientv3.WithLease(lease)))
	resp, err := client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return r.cluster.Wrap("register "+r.mine.key, err)
	}
	r.mine.rev = resp.Header.Revision
	r.deleted(r.mine.rev)
	return nil
}

// number draws the next number; see the package's documentation.
func (r *Reporter) number(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) (int64, error) {
	resp, err := client.Put(ctx, r.dir.ticket(), "", clientv3.WithLease(lease))
	if err != nil {
		return 0, r.cluster.Wrap("get a number in "+r.dir.path, err)
	}
	return resp.Header.Revision, nil
}

// maxStale bounds how many earlier keys are remembered; what is older went
// with its lease.
const maxStale = 32

// forget turns the current key into an earlier one.
func (r *Reporter) forget() {
	if r.mine.key != "" {
		r.mine.stale = append(r.mine.stale, r.mine.key)
		r.mine.stale = r.mine.stale[max(0, len(r.mine.stale)-maxStale):]
	}
	r.mine.key, r.mine.rev = "", 0
}

// take makes key ours. A cluster that was made anew may give a number for the
// second time: then it is nothing of before any more.
func (r *Reporter) take(key string) {
	is := func(other string) bool { return other == key }
	r.mine.stale = slices.DeleteFunc(r.mine.stale, is)
	r.gone = slices.DeleteFunc(r.gone, is)
	r.mine.key = key
}

// removals delete what we may have left behind.
func (r *Reporter) removals() []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpDelete(r.dir.ticket())}
	for _, key := range r.mine.stale {
		ops = append(ops, clientv3.OpDelete(key))
	}
	return ops
}

// withdraw deletes the registration, whoever has altered it meanwhile: a
// service that is down must get no traffic.
func (r *Reporter) withdraw(ctx context.Context) error {
	if r.mine.key == "" && len(r.mine.stale) == 0 {
		return nil
	}
	r.forget()
	client, err := r.cluster.Client(ctx)
	if err != nil {
		return err
	}
	resp, err := client.Txn(ctx).Then(r.removals()...).Commit()
	if err != nil {
		return r.cluster.Wrap("withdraw the registration in "+r.dir.path, err)
	}
	r.deleted(resp.Header.Revision)
	r.mine = registration{}
	return nil
}

// deleted remembers that the stale keys were deleted at rev.
func (r *Reporter) deleted(rev int64) {
	for _, key := range r.mine.stale {
		if !slices.Contains(r.gone, key) {
			r.gone = append(r.gone, key)
		}
	}
	r.gone = r.gone[max(0, len(r.gone)-maxStale):]
	r.goneRev, r.mine.stale = rev, nil
}

// Close withdraws the registration and gives everything back; the last
// reporter of a cluster revokes the lease. A registration that could not be
// withdrawn is withdrawn by the session later, or goes with the lease.
func (r *Reporter) Close(ctx context.Context) error {
	if r.cluster == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, etcdconn.CallTimeout)
	defer cancel()
	err := r.withdraw(limited)
	if err != nil {
		r.session.Delete(r.mine.stale...)
	}
	r.dir.sub.Close()
	r.session.Release(limited)
	r.cluster.Release()
	r.cluster, r.session, r.dir, r.mine, r.gone = nil, nil, nil, registration{}, nil
	return err
}
