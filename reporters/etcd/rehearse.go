package etcd

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/etcdconn"
)

// Rehearse reports why our credentials cannot be used, and why the cluster
// refuses to let our user register. Without a user nothing is asked; nil is also the answer of a cluster that cannot be
// reached in time: that is no refusal. It may be called before the first
// Report, and writes nothing.
func (r *Reporter) Rehearse(ctx context.Context) error {
	if err := r.target.ReadFiles(); err != nil {
		return err
	}
	if !r.user {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, etcdconn.CallTimeout)
	defer cancel()
	cluster := r.pool.Acquire(r.target)
	defer cluster.Release()
	client, err := cluster.Client(ctx)
	if err == nil {
		key := r.path + "/rehearsal"
		never := clientv3.Compare(clientv3.CreateRevision(key), "<", 0)
		// etcd asks for the permissions of both halves before it compares.
		_, err = client.Txn(ctx).If(never).Then(clientv3.OpPut(key, ""), clientv3.OpGet(key)).Commit()
	}
	if err == nil || !etcdconn.IsRefused(err) {
		return nil
	}
	return fmt.Errorf("etcd_path %s cannot be written: %w", r.path, cluster.Wrap("rehearse a registration", err))
}

// Addresses returns where the cluster is, host:port.
func (r *Reporter) Addresses() []string { return r.target.Addresses() }
