package zkconn

import (
	"context"
	"log/slog"
	"net"
	"sync"
)

// Pool shares sessions: who opens the same ensemble with the same chroot,
// timeout and credentials gets the same session, and the last Close ends it.
// It is safe for use by many goroutines.
type Pool struct {
	log  *slog.Logger
	dial DialFunc

	mu       sync.Mutex
	sessions map[string]*shared
}

// shared is a session and the number of Conns that hold it.
type shared struct {
	*session
	refs int
}

// DialFunc makes a connection, as net.Dialer does.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// NewPool returns an empty pool. Its log gets the news of sessions; what the
// ZooKeeper library says goes there at debug level.
func NewPool(log *slog.Logger) *Pool { return NewPoolOver(log, new(net.Dialer).DialContext) }

// NewPoolOver is NewPool with another network, such as a test's.
func NewPoolOver(log *slog.Logger, dial DialFunc) *Pool {
	return &Pool{log: log, dial: dial, sessions: map[string]*shared{}}
}

// Open returns a handle on the ensemble's session, and starts to connect in
// the background if it is the first. It does not wait; the only errors are
// those of Ensemble.Check. The handle must be closed.
func (p *Pool) Open(e Ensemble) (*Conn, error) {
	n, err := e.normalize()
	if err != nil {
		return nil, err
	}
	key := n.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sessions[key]
	if s == nil {
		s = &shared{session: startSession(n, p.log, p.dial)}
		p.sessions[key] = s
	}
	s.refs++
	return &Conn{session: s.session, release: func() { p.release(key, s) }, first: s.refs == 1}, nil
}

func (p *Pool) release(key string, s *shared) {
	p.mu.Lock()
	s.refs--
	last := s.refs == 0
	if last {
		delete(p.sessions, key)
	}
	p.mu.Unlock()
	if last {
		s.end()
	}
}

// Holds tells whether one of the pool's sessions has this id.
func (p *Pool) Holds(id int64) bool {
	if id == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sessions {
		if s.State().ID == id {
			return true
		}
	}
	return false
}

// Conn is one holder's handle on a shared session. Its methods are safe for
// use by many goroutines.
type Conn struct {
	*session
	release func()
	once    sync.Once
	first   bool
}

// First tells whether the session began with this handle.
func (c *Conn) First() bool { return c.first }

// Close gives the handle back. The last one ends the session, which may take
// up to a second when the server does not answer.
func (c *Conn) Close() { c.once.Do(c.release) }
