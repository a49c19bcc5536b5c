package zookeeper

import (
	"context"
	"fmt"
)

// takeOver makes the node of a fixed name ours by writing it, unless a foreign
// session has it. done is false when it has gone meanwhile.
func (r *Reporter) takeOver(ctx context.Context, node, payload string) (done bool, err error) {
	stat, err := r.conn.Exists(ctx, node)
	if err != nil || stat == nil {
		return false, err
	}
	owner := int64(0)
	if r.mode.IsEphemeral() {
		owner = r.conn.State().ID
	}
	switch {
	case stat.EphemeralOwner == owner:
	case r.pool.Holds(stat.EphemeralOwner), stat.EphemeralOwner == 0 && r.heldBeside(node):
		return true, r.replace(ctx, node, payload, stat.Version)
	case stat.EphemeralOwner == 0:
		return true, fmt.Errorf("zookeeper %s: %s exists and is persistent, so it cannot be registered as ephemeral; delete it", r.conn.Name(), node)
	default:
		return true, fmt.Errorf("zookeeper %s: %s belongs to session %#x, another nerve with this instance id or an earlier run of this one; it goes when that session ends", r.conn.Name(), node, uint64(stat.EphemeralOwner))
	}
	r.own(node, payload, *stat)
	if err := r.write(ctx, r.node, payload); err != nil {
		return true, err
	}
	return true, r.recheck(ctx)
}

// heldBeside tells whether another reporter of this process has the node: the
// one from before a reload.
func (r *Reporter) heldBeside(node string) bool {
	if !r.conn.Claim(node) {
		return true
	}
	r.conn.Unclaim(node)
	return false
}

// replace makes the node anew in place of the one that this process has by
// options from before a reload, in one step, so that no reader finds neither.
func (r *Reporter) replace(ctx context.Context, node, payload string, version int32) error {
	p, err := r.conn.Replace(ctx, node, []byte(payload), r.mode, version, r.acl...)
	if err != nil {
		return err
	}
	if err := r.awaitMade(ctx, p); err != nil || r.busy != nil {
		return err
	}
	return r.recheck(ctx)
}
