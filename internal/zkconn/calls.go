package zkconn

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/go-zookeeper/zk"
)

// Stat is what ZooKeeper keeps about a node.
type Stat = zk.Stat

// Mode says how long a node lives and how it is named.
type Mode int32

// The modes. A sequential node's name gets ten digits more.
const (
	Persistent           Mode = zk.FlagPersistent
	Ephemeral            Mode = zk.FlagEphemeral
	PersistentSequential Mode = zk.FlagSequence
	EphemeralSequential  Mode = zk.FlagEphemeralSequential
)

// IsEphemeral tells whether the node goes with its session.
func (m Mode) IsEphemeral() bool { return m&zk.FlagEphemeral != 0 }

// IsSequential tells whether the server completes the name.
func (m Mode) IsSequential() bool { return m&zk.FlagSequence != 0 }

// AnyVersion lets Set and Delete act on whatever version there is.
const AnyVersion = -1

// Node is a node's data and Stat.
type Node struct {
	Data []byte
	Stat Stat
}

// Get reads a node.
func (s *session) Get(ctx context.Context, node string) (Node, error) {
	return call(ctx, s, "get", node, get(false))
}

// GetW reads a node and watches it. Only a node that exists is watched.
func (s *session) GetW(ctx context.Context, node string) (Node, error) {
	return call(ctx, s, "get", node, get(true))
}

func get(watch bool) func(*zk.Conn, string) (Node, error) {
	return func(c *zk.Conn, p string) (n Node, err error) {
		var stat *Stat
		if watch {
			n.Data, stat, _, err = c.GetW(p)
		} else {
			n.Data, stat, err = c.Get(p)
		}
		if err == nil {
			n.Stat = *stat
		}
		return n, err
	}
}

// List is the names of a node's children, in no order, and the node's Stat.
type List struct {
	Names []string
	Stat  Stat
}

// Children lists a node's children.
func (s *session) Children(ctx context.Context, node string) (List, error) {
	return call(ctx, s, "list", node, func(c *zk.Conn, p string) (List, error) {
		names, stat, err := c.Children(p)
		if err != nil {
			return List{}, err
		}
		return List{names, *stat}, nil
	})
}

// ChildrenW lists a node's children and watches the list. Only a node that
// exists is watched.
func (s *session) ChildrenW(ctx context.Context, node string) (List, error) {
	return call(ctx, s, "list", node, func(c *zk.Conn, p string) (List, error) {
		names, stat, _, err := c.ChildrenW(p)
		if err != nil {
			return List{}, err
		}
		return List{names, *stat}, nil
	})
}

// Exists looks a node up; a nil Stat means that it is absent.
func (s *session) Exists(ctx context.Context, node string) (*Stat, error) {
	return call(ctx, s, "look up", node, func(c *zk.Conn, p string) (*Stat, error) {
		there, stat, err := c.Exists(p)
		if !there {
			stat = nil
		}
		return stat, err
	})
}

// ExistsW looks a node up and watches it, or its creation.
func (s *session) ExistsW(ctx context.Context, node string) (*Stat, error) {
	return call(ctx, s, "look up", node, func(c *zk.Conn, p string) (*Stat, error) {
		there, stat, _, err := c.ExistsW(p)
		if !there {
			stat = nil
		}
		return stat, err
	})
}

// Create makes a node that only those may use whom acl lets, everybody when it
// is empty, and returns its name in full once that is answered.
func (s *session) Create(ctx context.Context, node string, data []byte, mode Mode, acl ...zk.ACL) (*Pending[string], error) {
	return begin(ctx, s, "create", node, func(c *zk.Conn, p string) (string, error) {
		made, err := c.Create(p, data, int32(mode), ACL(acl).orOpen())
		if err != nil {
			return "", err
		}
		return s.inside(made), nil
	})
}

// Replace deletes a node that has the given version and makes it anew, in one
// step.
func (s *session) Replace(ctx context.Context, node string, data []byte, mode Mode, version int32, acl ...zk.ACL) (*Pending[string], error) {
	return begin(ctx, s, "replace", node, func(c *zk.Conn, p string) (string, error) {
		done, err := c.Multi(
			&zk.DeleteRequest{Path: p, Version: version},
			&zk.CreateRequest{Path: p, Data: data, Acl: ACL(acl).orOpen(), Flags: int32(mode)},
		)
		for _, one := range done {
			if one.Error != nil && err == nil {
				err = one.Error
			}
		}
		if err != nil {
			return "", err
		}
		return node, nil
	})
}

// Set replaces a node's data if it has the given version.
func (s *session) Set(ctx context.Context, node string, data []byte, version int32) (*Pending[Stat], error) {
	return begin(ctx, s, "write", node, func(c *zk.Conn, p string) (Stat, error) {
		stat, err := c.Set(p, data, version)
		if err != nil {
			return Stat{}, err
		}
		return *stat, nil
	})
}

// Delete removes a node if it has the given version.
func (s *session) Delete(ctx context.Context, node string, version int32) (*Pending[struct{}], error) {
	return begin(ctx, s, "delete", node, func(c *zk.Conn, p string) (struct{}, error) {
		return struct{}{}, c.Delete(p, version)
	})
}

// MakePath creates a node and what is missing above it, as persistent nodes
// without data, which only those may use whom acl lets, everybody when it is
// empty. A node that exists is fine, whoever may use it.
func (s *session) MakePath(ctx context.Context, node string, acl ...zk.ACL) error {
	_, err := call(ctx, s, "create", node, func(c *zk.Conn, p string) (struct{}, error) {
		return struct{}{}, makePath(c, p, ACL(acl).orOpen())
	})
	return err
}

func makePath(c *zk.Conn, p string, acl []zk.ACL) error {
	_, err := c.Create(p, nil, zk.FlagPersistent, acl)
	if errors.Is(err, zk.ErrNoNode) && p != "/" {
		if err := makePath(c, parent(p), acl); err != nil {
			return err
		}
		_, err = c.Create(p, nil, zk.FlagPersistent, acl)
	}
	switch {
	case errors.Is(err, zk.ErrNodeExists):
		return nil
	case errors.Is(err, zk.ErrNoAuth): // nobody may make it, and perhaps nobody has to
		if there, _, look := c.Exists(p); look == nil && there {
			return nil
		}
	}
	return err
}

// parent returns the node above p.
func parent(p string) string { return path.Dir(p) }

// Pending is a request that was sent, or will be as soon as the link allows.
type Pending[T any] struct {
	s        *session
	op, node string
	done     chan struct{} // closed after value and err are set
	value    T
	err      error
}

// Wait waits for the answer. When ctx ends first the request goes on: it may
// still be carried out, which Done tells.
func (p *Pending[T]) Wait(ctx context.Context) (T, error) {
	select {
	case <-p.done:
		return p.value, p.s.explain(p.op, p.node, p.err)
	case <-ctx.Done():
		var none T
		return none, p.s.explain(p.op, p.node, context.Cause(ctx))
	}
}

// Done is closed when the request is answered or has failed.
func (p *Pending[T]) Done() <-chan struct{} { return p.done }

// patience is how long a call waits at most, whatever its context says.
func (s *session) patience() time.Duration { return max(s.timeout, 5*time.Second) }

// call sends a request and waits for its answer.
func call[T any](ctx context.Context, s *session, op, node string, f func(*zk.Conn, string) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience())
	defer cancel()
	p, err := begin(ctx, s, op, node, f)
	if err != nil {
		var none T
		return none, err
	}
	return p.Wait(ctx)
}

// begin sends a request. An error means that it was not sent and never will
// be.
func begin[T any](ctx context.Context, s *session, op, node string, f func(*zk.Conn, string) (T, error)) (*Pending[T], error) {
	if err := s.acquire(ctx); err != nil {
		return nil, s.explain(op, node, err)
	}
	p := &Pending[T]{s: s, op: op, node: node, done: make(chan struct{})}
	s.tasks.Go(func() {
		defer func() { <-s.slots }()
		defer close(p.done)
		p.value, p.err = f(s.zk, s.outside(node))
	})
	return p, nil
}

// acquire waits for a link and for a place among the requests under way, which
// the caller then holds.
func (s *session) acquire(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case s.slots <- struct{}{}:
	}
	for {
		st := s.State()
		var err error
		switch {
		case s.dialer.ctx.Err() != nil:
			err = zk.ErrClosing
		case st.Connected:
			return nil
		default:
			select {
			case <-st.Changed:
			case <-s.dialer.ctx.Done():
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		if err != nil {
			<-s.slots
			return err
		}
	}
}
