package zookeeper

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// withdraw makes no node exist.
func (r *Reporter) withdraw(ctx context.Context, want attempt) error {
	if err := r.search(ctx, want); err != nil {
		return err
	}
	if r.node != nil {
		r.node, r.retired = nil, append(r.retired, r.node)
	}
	return r.sweep(ctx)
}

// remove deletes n and lets go of it. A node that somebody else has made since
// is left alone; one that somebody else has written is deleted only by force.
func (r *Reporter) remove(ctx context.Context, n *node, force bool) error {
	version := n.stat.Version
	if !r.untouched(n) || n.stat.Czxid == 0 {
		stat, err := r.conn.Exists(ctx, n.path)
		switch {
		case err != nil:
			return err
		case stat == nil, n.stat.Czxid != 0 && stat.Czxid != n.stat.Czxid,
			r.mode.IsEphemeral() && stat.EphemeralOwner != r.conn.State().ID,
			!force && stat.Version != version:
			r.leave(n)
			return nil
		}
		version = stat.Version
	}
	if !force && n.shared {
		r.leave(n)
		return nil
	}
	n.unsure = true
	defer r.meter.took("delete", time.Now())
	p, err := r.conn.Delete(ctx, n.path, version)
	if err != nil {
		return err
	}
	switch _, err = await(ctx, r, p, write{}); {
	case errors.Is(err, zkconn.ErrNoNode), !force && errors.Is(err, zkconn.ErrBadVersion):
	case err != nil:
		return err // n stays ours, to be looked at by the next call
	}
	r.leave(n)
	return nil
}

// Close withdraws the registration, unless a successor has taken it over, and
// gives the session back. What cannot be withdrawn now is withdrawn as soon as
// there is a connection, or goes with the session.
func (r *Reporter) Close(ctx context.Context) error {
	if r.conn == nil {
		return nil
	}
	defer func() { r.conn.Close(); r.conn = nil }()
	if err := r.settle(ctx); err != nil {
		if r.busy.abandon != nil {
			r.busy.abandon()
		}
		r.busy = nil
		r.discard()
		return err
	}
	if r.doubt {
		if err := r.search(ctx, r.tried); err != nil {
			r.discard()
			return err
		}
	}
	err := r.sweep(ctx)
	if err == nil && r.node != nil {
		if err = r.remove(ctx, r.node, false); err == nil {
			r.node = nil
		}
	}
	if err != nil {
		r.discard()
	}
	return err
}

// discard leaves all that is ours to the session, to be deleted when it can.
func (r *Reporter) discard() {
	if r.node != nil {
		r.retired = append(r.retired, r.node)
	}
	for _, n := range r.retired {
		r.leave(n)
		if n.stat.Czxid != 0 && !n.shared {
			r.conn.Discard(n.path, n.stat)
		}
	}
	r.node, r.retired, r.doubt = nil, nil, false
}

// search looks for nodes that are ours without our knowing: made by a create
// whose answer was lost, or left by an earlier process. One is adopted, and of
// our own session's others none is left.
func (r *Reporter) search(ctx context.Context, want attempt) error {
	if r.node != nil || !r.doubt && !r.leftovers {
		return nil
	}
	if r.doubt {
		want = r.tried
	}
	var err error
	if r.mode.IsSequential() {
		err = r.searchSequential(ctx, want)
	} else {
		err = r.searchFixed(ctx, want)
	}
	if err != nil {
		return err
	}
	r.doubt, r.leftovers = false, false
	return nil
}

// searchFixed adopts the node of our fixed name, if it describes our backend.
func (r *Reporter) searchFixed(ctx context.Context, want attempt) error {
	node, b := path.Join(r.path, want.name), want.backend
	found, err := r.conn.Get(ctx, node)
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := int64(0)
	if r.mode.IsEphemeral() {
		owner = r.conn.State().ID
	}
	was, err := service.DecodePayload(found.Data)
	if err == nil && was.Host == b.Host && was.Port == b.Port && was.Name == b.Name && found.Stat.EphemeralOwner == owner {
		r.own(node, "", found.Stat) // no data is ours, so that it will be written, which makes it ours
	}
	return nil
}

// searchSequential adopts the first node with our name and data.
func (r *Reporter) searchSequential(ctx context.Context, want attempt) error {
	list, err := r.conn.Children(ctx, r.path)
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil
	}
	if err != nil {
		return err
	}
	var nodes []string
	for _, child := range list.Names {
		rest, ours := strings.CutPrefix(child, want.name)
		if ours && len(rest) == 10 && strings.Trim(rest, "0123456789") == "" {
			nodes = append(nodes, path.Join(r.path, child))
		}
	}
	slices.Sort(nodes)
	found, err := zkconn.GetMany(ctx, r.conn, nodes, func(int) bool { return false }, func(_ int, n zkconn.Node) zkconn.Node { return n })
	if err != nil {
		return err
	}
	owner := int64(0)
	if r.mode.IsEphemeral() {
		owner = r.conn.State().ID
	}
	for i, f := range found {
		if f == nil || !service.SamePayload(f.Data, []byte(want.payload)) || f.Stat.EphemeralOwner != owner || !r.conn.Claim(nodes[i]) {
			continue
		}
		payload := want.payload
		if r.mode.IsEphemeral() {
			payload = string(f.Data) // it is not written, so it stays what it is
		}
		if err := r.adopt(ctx, nodes[i], payload, f.Stat); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes a found node ours, or deletes it when we have one already. A
// persistent one may belong to a process that still runs: writing it makes that
// one leave it alone, and a second one is not touched.
func (r *Reporter) adopt(ctx context.Context, node, payload string, stat zkconn.Stat) error {
	switch {
	case r.node == nil:
		r.own(node, payload, stat)
		r.conn.Unclaim(node) // it was claimed when it was found
		if r.mode.IsEphemeral() {
			return nil
		}
		return r.write(ctx, r.node, payload)
	case !r.mode.IsEphemeral():
		r.conn.Unclaim(node)
		return nil
	}
	defer r.conn.Unclaim(node)
	p, err := r.conn.Delete(ctx, node, stat.Version)
	if err != nil {
		return err
	}
	if _, err = await(ctx, r, p, write{}); errors.Is(err, zkconn.ErrNoNode) {
		return nil
	}
	return err
}
