package ec2poll

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"smartstack/internal/awsconn"
	"smartstack/internal/mailbox"
)

// Pool holds one poller for each query in use. It may be used from any
// goroutine. Make it with NewPool.
type Pool struct {
	log     *slog.Logger
	open    func(Query) source
	mu      sync.Mutex // guards pollers, poller.users and records
	pollers map[Query]*poller
	records map[Query]record // of pollers that ended while they failed
}

// NewPool makes an empty pool; it does no I/O.
func NewPool(log *slog.Logger) *Pool { return NewPoolOver(log, nil) }

// NewPoolOver is NewPool with another network, such as a test's; nil is that of
// the AWS client.
func NewPoolOver(log *slog.Logger, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Pool {
	return &Pool{
		log: log, open: func(q Query) source { return openOver(q, dial) },
		pollers: map[Query]*poller{}, records: map[Query]record{},
	}
}

// Subscription is one reader's share in a poller. It is used by one goroutine.
type Subscription struct {
	pool     *Pool
	poller   *poller
	interval time.Duration
	from     uint64 // the poller's: the first poll whose answer will do
	*mailbox.Inbox[*Answer, *Fault]
}

// Subscribe asks for the answers to q, at least one in each interval. It does
// no I/O itself. What the poller knows already is delivered at once, unless
// afresh asks for an answer that was read from now on.
func (p *Pool) Subscribe(q Query, interval time.Duration, afresh bool) *Subscription {
	if q.Region == "" { // so that one region has one poller, written down or not
		q.Region = awsconn.EnvironmentRegion()
	}
	s := &Subscription{
		pool: p, interval: interval,
		Inbox: mailbox.NewInbox[*Answer](&Fault{Region: q.Region, Call: "DescribeInstances", Err: errNotYet}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.poller = p.pollers[q]
	if s.poller == nil {
		s.poller = startPoller(q, p.open(q), p.records[q], p.log)
		p.pollers[q] = s.poller
		delete(p.records, q)
	}
	s.poller.users++
	s.poller.commands <- command{sub: s, afresh: afresh}
	return s
}

var errNotYet = errors.New("no answer yet")

// Close ends the subscription. The last one of a query ends its poller, and a
// call under way, and returns when all its goroutines have ended.
func (s *Subscription) Close() {
	p := s.pool
	p.mu.Lock()
	s.poller.commands <- command{sub: s, remove: true}
	s.poller.users--
	last := s.poller.users == 0
	if last {
		delete(p.pollers, s.poller.query)
		if known := s.poller.known.Load(); known.fault != nil {
			p.records[s.poller.query] = *known
		}
	}
	p.mu.Unlock()
	if last {
		s.poller.stop()
		<-s.poller.done
	}
}
