package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// Reporter keeps one registration true. Make it with New.
type Reporter struct {
	pool     *zkconn.Pool
	log      *slog.Logger
	ensemble zkconn.Ensemble
	cluster  string // the ensemble's name in metrics; empty = made of its hosts
	meter    meter
	path     string
	acl      zkconn.ACL // of all that we make
	mode     zkconn.Mode
	encode   bool
	ttl      time.Duration // 0 = no rewriting

	conn      *zkconn.Conn // nil before the first Report
	node      *node        // what we have registered; nil = nothing that we know of
	doubt     bool         // a create of ours may have been carried out without our knowing
	leftovers bool         // an earlier process may have left its persistent node
	retired   []*node      // ours, to be deleted: a changed registration has replaced them
	tried     attempt      // the last create
	busy      *write       // a write that has not been answered yet

	last service.Registration // registered by the last call, which left nothing to do; zero = it did not
}

// attempt is a node that we have tried to make.
type attempt struct {
	backend       service.Backend
	name, payload string
}

// write is one that its call could not wait for.
type write struct {
	done    <-chan struct{}
	settle  func() // takes note of the answer, after done
	abandon func() // undoes what it will have done; nil = no need
}

// node is one that is ours.
type node struct {
	path, payload string
	session       uint64
	sub           *zkconn.Subscription
	stat          zkconn.Stat // as we left it; Czxid is 0 before the first look
	unsure        bool        // has to be looked at
	shared        bool        // somebody else has written it too
	renew         time.Time
}

// Report makes reg true. It sends nothing when that is known to be so.
func (r *Reporter) Report(ctx context.Context, reg service.Registration) error {
	if err := r.open(); err != nil {
		return err
	}
	if r.Stands(reg) {
		return r.stillThere()
	}
	r.last = service.Registration{}
	payload := string(reg.Payload())
	name, err := r.nodeName(reg.Backend, payload)
	if err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	want := attempt{reg.Backend, name, payload}
	if !reg.Up {
		return r.withdraw(ctx, want)
	}
	if err := r.register(ctx, want); err != nil {
		return err
	}
	r.last = reg
	return nil
}

// Stands tells whether Report would have nothing to do.
func (r *Reporter) Stands(reg service.Registration) bool {
	n := r.node
	return reg.Up && n != nil && reg == r.last && r.untouched(n) && !r.due(n)
}

// Settled tells whether Report would have nothing to do, and would succeed.
func (r *Reporter) Settled(reg service.Registration) bool {
	return r.Stands(reg) && r.stillThere() == nil
}

// Holds tells whether a node of ours is there, whatever it says.
func (r *Reporter) Holds() bool { return r.node != nil && r.untouched(r.node) }

func (r *Reporter) open() (err error) {
	if r.conn == nil {
		if r.conn, err = r.pool.Open(r.ensemble); err == nil {
			r.meter.opened(r.conn)
		}
	}
	return err
}

// untouched reports whether n is known to be as we left it.
func (r *Reporter) untouched(n *node) bool {
	if !n.unsure && len(n.sub.Take()) > 0 {
		n.unsure = true
	}
	return !n.unsure && n.session == r.conn.State().Session
}

func (r *Reporter) due(n *node) bool { return r.ttl > 0 && !time.Now().Before(n.renew) }

// stillThere believes in a node whose link is down for as long as ZooKeeper
// keeps the session.
func (r *Reporter) stillThere() error {
	st := r.conn.State()
	if down := time.Since(st.Since); !st.Connected && down > r.conn.Timeout() {
		return fmt.Errorf("zookeeper %s: no connection for %v, the registration in %s may have expired: %w",
			r.conn.Name(), down.Round(time.Second), r.path, st.Err)
	}
	return nil
}

// settle waits for the answer to an earlier write.
func (r *Reporter) settle(ctx context.Context) error {
	if r.busy == nil {
		return nil
	}
	select {
	case <-r.busy.done:
		settle := r.busy.settle
		r.busy = nil
		settle()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("zookeeper %s: no answer yet to an earlier write below %s: %w", r.conn.Name(), r.path, context.Cause(ctx))
	}
}

// register makes a node with the wanted data exist.
func (r *Reporter) register(ctx context.Context, want attempt) error {
	if err := r.recheck(ctx); err != nil {
		return err
	}
	if err := r.search(ctx, want); err != nil {
		return err
	}
	old := r.node
	switch {
	case old == nil:
		if err := r.create(ctx, want); err != nil {
			return err
		}
	case old.payload == want.payload:
		if err := r.renewed(ctx, old); err != nil {
			return err
		}
	case !r.mode.IsSequential() && old.path == path.Join(r.path, want.name):
		if err := r.write(ctx, old, want.payload); err != nil {
			return err
		}
	default: // the new node first, so that there is always one
		r.node, r.retired = nil, append(r.retired, old)
		if err := r.create(ctx, want); err != nil {
			return err
		}
	}
	return r.sweep(ctx)
}

// sweep deletes the nodes that were replaced.
func (r *Reporter) sweep(ctx context.Context) error {
	for len(r.retired) > 0 {
		if err := r.remove(ctx, r.retired[0], true); err != nil {
			return err
		}
		r.retired = r.retired[1:]
	}
	return nil
}

// recheck looks at the node if anything may have happened to it, and arms its
// watch. It forgets a node that is gone or no longer ours.
func (r *Reporter) recheck(ctx context.Context) error {
	n := r.node
	if n == nil || r.untouched(n) {
		return nil
	}
	if r.mode.IsEphemeral() && n.session != r.conn.State().Session {
		r.forget() // it has gone with its session
		return nil
	}
	n.unsure = true
	n.sub.Take() // what comes after this comes after the watch, too
	stat, err := r.conn.ExistsW(ctx, n.path)
	if err != nil {
		return err
	}
	st := r.conn.State()
	switch {
	case stat == nil, r.mode.IsEphemeral() && stat.EphemeralOwner != st.ID,
		n.stat.Czxid != 0 && stat.Czxid != n.stat.Czxid:
		r.log.Warn("the registration " + n.path + " has been deleted by somebody else; making it again")
		r.forget()
		return nil
	}
	n.session = st.Session
	if fresh := n.stat.Czxid == 0; stat.Version != n.stat.Version {
		if err := r.restore(ctx, n, stat.Version); err != nil || r.node == nil {
			return err
		}
		if fresh {
			n.shared = false
		}
		stat.Version = n.stat.Version
	}
	n.stat, n.unsure = *stat, false
	return nil
}

// restore reads a node that was rewritten, and puts our data back.
func (r *Reporter) restore(ctx context.Context, n *node, version int32) error {
	now, err := r.conn.Get(ctx, n.path)
	switch {
	case errors.Is(err, zkconn.ErrNoNode):
		r.forget()
		return nil
	case err != nil:
		return err
	case string(now.Data) == n.payload:
		n.stat.Version, n.shared = now.Stat.Version, true
		return nil
	}
	r.log.Warn("the registration " + n.path + " has been rewritten by somebody else; writing it again")
	n.stat.Version = version
	return r.write(ctx, n, n.payload)
}

// write replaces the data of our node.
func (r *Reporter) write(ctx context.Context, n *node, payload string) error {
	defer r.meter.took("save", time.Now())
	p, err := r.conn.Set(ctx, n.path, []byte(payload), n.stat.Version)
	if err != nil {
		return err
	}
	n.unsure = true // the write fires our own watch
	stat, err := await(ctx, r, p, write{})
	switch {
	case errors.Is(err, zkconn.ErrNoNode):
		r.forget()
		return err
	case err != nil:
		return err
	}
	n.stat.Version, n.payload, n.shared = stat.Version, payload, false
	return nil
}

// renewed rewrites the node if that is due.
func (r *Reporter) renewed(ctx context.Context, n *node) error {
	if !r.due(n) {
		return nil
	}
	err := r.write(ctx, n, n.payload)
	if r.meter.renewed(err); err != nil {
		return err
	}
	n.renew = time.Now().Add(r.ttl)
	return nil
}

// create makes the node. It goes on after its answer with a first look, which
// also arms the watch.
func (r *Reporter) create(ctx context.Context, want attempt) error {
	defer r.meter.took("create", time.Now())
	if r.encode {
		r.meter.encoded(want.payload)
	}
	node := path.Join(r.path, want.name)
	r.tried = want
	for range 3 { // the path, or a node of the same name, may come and go
		p, err := r.conn.Create(ctx, node, []byte(want.payload), r.mode, r.acl...)
		if err != nil {
			return err
		}
		err = r.awaitMade(ctx, p)
		switch {
		case r.busy != nil:
			return err
		case err == nil:
			return r.recheck(ctx)
		case errors.Is(err, zkconn.ErrNoNode):
			if err := r.conn.MakePath(ctx, r.path, r.acl...); err != nil {
				return err
			}
		case errors.Is(err, zkconn.ErrNodeExists):
			if done, err := r.takeOver(ctx, node, want.payload); done || err != nil {
				return err
			}
		default:
			return err
		}
	}
	return fmt.Errorf("zookeeper %s: %s comes and goes while it is made", r.conn.Name(), node)
}

// awaitMade takes note of the answer to a create, unless it does not come in
// time: then r.busy waits for it.
func (r *Reporter) awaitMade(ctx context.Context, p *zkconn.Pending[string]) error {
	later := write{
		settle:  func() { made, err := p.Wait(context.Background()); r.created(made, err) }, // it is there by then
		abandon: func() { r.conn.DiscardMade(p) },
	}
	made, err := await(ctx, r, p, later)
	if r.busy == nil {
		r.created(made, err)
	}
	return err
}

// created takes note of the answer to a create.
func (r *Reporter) created(made string, err error) {
	if err != nil {
		r.doubt = r.doubt || zkconn.IsLink(err)
		return
	}
	r.own(made, r.tried.payload, zkconn.Stat{})
}

// own takes a node for ours.
func (r *Reporter) own(made, payload string, stat zkconn.Stat) {
	r.conn.Share(made)
	n := &node{path: made, payload: payload, stat: stat, unsure: true, session: r.conn.State().Session, sub: r.conn.Subscribe(made)}
	if r.ttl > 0 {
		n.renew = time.Now().Add(rand.N(r.ttl)) // so that a fleet does not write in step
	}
	r.node = n
}

// forget gives up what we know of our node.
func (r *Reporter) forget() {
	if r.node != nil {
		r.leave(r.node)
		r.node = nil
	}
}

// leave lets go of a node without touching it.
func (r *Reporter) leave(n *node) {
	n.sub.Close()
	r.conn.Unclaim(n.path)
}

// await waits for the answer to a write. Without one, the next call begins with
// waiting for it, as later says.
func await[T any](ctx context.Context, r *Reporter, p *zkconn.Pending[T], later write) (T, error) {
	v, err := p.Wait(ctx)
	select {
	case <-p.Done():
		return p.Wait(context.WithoutCancel(ctx)) // the answer may have come at the last moment
	default:
	}
	later.done = p.Done()
	if later.settle == nil {
		later.settle = func() {}
	}
	r.busy = &later
	return v, err
}
