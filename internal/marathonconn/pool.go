package marathonconn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"smartstack/internal/httpconn"
	"smartstack/internal/mailbox"
)

// Pool holds one follower for each target in use. It may be used from any
// goroutine. Make it with NewPool.
type Pool struct {
	log       *slog.Logger
	dial      httpconn.Dialer
	mu        sync.Mutex // guards followers, and users of each
	followers map[Target]*follower
}

// NewPool makes an empty pool; it does no I/O.
func NewPool(log *slog.Logger) *Pool {
	return NewPoolOver(log, httpconn.Dial)
}

// NewPoolOver is NewPool with another network, such as a test's.
func NewPoolOver(log *slog.Logger, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Pool {
	return &Pool{log: log, dial: dial, followers: map[Target]*follower{}}
}

// Subscription is one reader's share in a follower. It is used by one
// goroutine.
type Subscription struct {
	pool     *Pool
	follower *follower
	query    Query
	pace     Pace
	from     uint64 // the follower's: the first read whose answer will do
	*mailbox.Inbox[*Answer, error]
}

// Subscribe asks for the answers to q. It does no I/O itself. What is known
// already is delivered at once, unless afresh asks for an answer that was read
// from now on.
func (p *Pool) Subscribe(t Target, q Query, pace Pace, afresh bool) *Subscription {
	s := &Subscription{pool: p, query: q, pace: pace.withDefaults(), Inbox: mailbox.NewInbox[*Answer](errNotYet)}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.follower = p.followers[t]
	if s.follower == nil {
		s.follower = startFollower(t, p.dial, p.log)
		p.followers[t] = s.follower
	}
	s.follower.users++
	s.follower.commands <- command{sub: s, afresh: afresh}
	return s
}

var errNotYet = errors.New("no answer yet")

// Refresh asks for an answer soon, out of turn.
func (s *Subscription) Refresh() {
	s.follower.commands <- command{sub: s, refresh: true}
}

// Close ends the subscription. The last one of a target ends its follower, its
// requests and its stream, and returns when all its goroutines have ended.
func (s *Subscription) Close() {
	p := s.pool
	p.mu.Lock()
	f := s.follower
	f.commands <- command{sub: s, remove: true}
	f.users--
	last := f.users == 0
	if last {
		delete(p.followers, f.target)
	}
	p.mu.Unlock()
	if last {
		f.stop()
		<-f.done
	}
}

// command adds or removes a subscription, or asks for a read.
type command struct {
	sub     *Subscription
	afresh  bool
	refresh bool
	remove  bool
}
