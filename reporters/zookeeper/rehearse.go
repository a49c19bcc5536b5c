package zookeeper

import (
	"context"
	"fmt"
	"path"

	"smartstack/internal/zkconn"
)

// Rehearse reports why our credentials cannot be used, and why ZooKeeper refuses
// to make our nodes with zk_acl. Without zk_acl nothing is asked; nil is also the answer of an ensemble that cannot be
// reached in time, or has no quorum: that is no refusal. It may be called before
// the first Report, and registers nothing.
func (r *Reporter) Rehearse(ctx context.Context) error {
	if err := r.ensemble.ReadFiles(); err != nil {
		return err
	}
	if len(r.acl) == 0 {
		return nil
	}
	conn, err := r.pool.Open(r.ensemble)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Rehearse(ctx, path.Join(r.path, "rehearsal"), r.mode, r.acl)
	if err == nil || zkconn.IsLink(err) {
		return nil
	}
	return fmt.Errorf("zk_acl cannot be kept: %w", err)
}

// Addresses returns where the ensemble is, host:port.
func (r *Reporter) Addresses() []string { return r.ensemble.Addresses() }
