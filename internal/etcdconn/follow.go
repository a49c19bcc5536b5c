package etcdconn

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
)

// heartbeat is how often a quiet stream is asked for a sign of life. A stream
// that gives none before the next heartbeat is broken.
const heartbeat = 5 * time.Second

// relistSpread is over how long a fleet spreads the full reads that one event
// (a compaction, a restored backup) makes necessary on all hosts at once.
const relistSpread = 2 * time.Second

// readsAtOnce bounds the full reads under way in one cluster.
const readsAtOnce = 4

// follower owns all mirrors of a cluster and the stream that keeps them true.
// Its goroutine never blocks on the network: reads and the stream are
// goroutines that report to it.
//
// A mirror starts with a full read at one revision and goes on with a watch
// from the next. After a broken stream the watch resumes there: etcd then gives
// every event or says that they are compacted, so nothing is missed and a
// restart of a server does not make 10,000 hosts read everything again. A full
// read is made again when the history has a gap: compacted, or another history
// than the one we know (a cluster rebuilt or restored from a backup).
type follower struct {
	c         *Cluster
	mirrors   map[scope]*mirror
	watches   map[int64]*mirror // on the current stream
	lastWatch int64
	stream    *stream // nil while nothing is to be followed
	retry     backoff // of the stream
	down      bool    // and a warning was logged
	forbidden map[scope]bool
	events    chan streamEvent
	listed    chan listing
	slots     chan struct{}
}

func newFollower(c *Cluster) *follower {
	return &follower{
		c: c, mirrors: map[scope]*mirror{}, watches: map[int64]*mirror{}, forbidden: map[scope]bool{},
		events: make(chan streamEvent), listed: make(chan listing), slots: make(chan struct{}, readsAtOnce),
	}
}

func (f *follower) run() {
	ticker := time.NewTicker(f.c.pool.heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-f.c.ctx.Done():
			return
		case cmd := <-f.c.commands:
			if cmd.remove {
				f.remove(cmd.sub)
			} else {
				f.add(cmd.sub)
			}
		case ev := <-f.events:
			if ev.stream == f.stream {
				f.hear(ev)
			}
		case result := <-f.listed:
			if m := result.mirror; f.mirrors[m.scope] == m && m.reads == result.nth {
				f.take(result)
			}
		case <-ticker.C:
			f.beat()
		}
	}
}

// add serves a new subscription from a mirror that is there already, or makes
// one.
func (f *follower) add(s *Subscription) {
	sc := f.scopeFor(s)
	m := f.mirrors[sc]
	if m != nil {
		m.add(s)
		if m.rev != 0 && !m.behind {
			m.serve()
		}
		if m.live {
			s.setFault(nil)
		}
		return
	}
	m = &mirror{scope: sc, subs: map[string][]*Subscription{}, stop: func() {}}
	m.add(s)
	f.mirrors[sc] = m
	f.read(m, 0)
	if f.stream == nil {
		f.open(0)
	}
}

// scopeFor returns the first scope for s that this user may read, or else the
// last one.
func (f *follower) scopeFor(s *Subscription) scope {
	all := scopesOf(s.path, s.sharing)
	for _, sc := range all {
		if !f.forbidden[sc] {
			return sc
		}
	}
	return all[len(all)-1]
}

func (f *follower) remove(s *Subscription) {
	for _, sc := range scopesOf(s.path, s.sharing) {
		if m := f.mirrors[sc]; m != nil && m.remove(s) {
			f.drop(m)
		}
	}
	if len(f.mirrors) == 0 && f.stream != nil {
		f.stream.cancel()
		f.stream = nil
		f.retry.reset()
	}
}

func (f *follower) drop(m *mirror) {
	m.stop()
	f.unwatch(m)
	delete(f.mirrors, m.scope)
}

// read starts a full read of m.
func (f *follower) read(m *mirror, delay time.Duration) {
	m.stop()
	f.unwatch(m)
	ctx, cancel := context.WithCancel(f.c.ctx)
	m.stop = cancel
	m.reads++
	nth := m.reads
	f.c.wg.Go(func() {
		if !sleep(ctx, delay) {
			return
		}
		result := f.c.list(ctx, m.scope, f.slots)
		result.mirror, result.nth = m, nth
		select {
		case f.listed <- result:
		case <-ctx.Done():
		}
	})
}

// take puts the result of a full read to use.
func (f *follower) take(result listing) {
	m := result.mirror
	m.stop()
	switch {
	case result.err == nil:
		m.retry.reset()
		m.replace(result.kvs, result.rev, result.id)
		if f.stream != nil && f.stream.open {
			f.watch(m)
		}
	case isForbidden(result.err) && !f.forbidden[m.scope]:
		f.narrow(m)
	default:
		fault := f.c.Wrap("read "+m.scope.String(), result.err)
		m.setFault(fault)
		f.warn(fault)
		m.rev = 0
		f.read(m, m.retry.next())
	}
}

// narrow gives each subscription of m a smaller scope, where the user may read
// the services but not their parent.
func (f *follower) narrow(m *mirror) {
	f.forbidden[m.scope] = true
	f.drop(m)
	f.c.log.Info("this etcd user may not read "+m.scope.String()+", trying with less",
		"reason", "permission denied")
	for _, list := range m.subs {
		for _, s := range list {
			f.add(s)
		}
	}
}

// watch follows m on the open stream from where it stands.
func (f *follower) watch(m *mirror) {
	f.lastWatch++
	m.watch = f.lastWatch
	f.watches[m.watch] = m
	if !f.stream.ask(createRequest(m.scope, m.watch, m.rev+1)) {
		f.broken(errBacklog)
	}
}

func (f *follower) unwatch(m *mirror) {
	if m.watch == 0 {
		return
	}
	delete(f.watches, m.watch)
	if f.stream != nil && f.stream.open {
		f.stream.ask(cancelRequest(m.watch)) // unsent is as good: its events are ignored
	}
	m.watch, m.live = 0, false
}

func (f *follower) open(delay time.Duration) {
	f.stream = newStream(f.c.ctx)
	s := f.stream
	f.c.wg.Go(func() { s.run(f.c, delay, f.events) })
}

// broken replaces the stream after a delay.
func (f *follower) broken(err error) {
	f.stream.cancel()
	clear(f.watches)
	fault := f.c.Wrap("watch", err)
	f.warn(fault)
	for _, m := range f.mirrors {
		m.watch, m.live, m.behind = 0, false, true
		m.setFault(fault)
	}
	f.open(f.retry.next())
}

func (f *follower) hear(ev streamEvent) {
	f.stream.heard = true
	switch {
	case ev.err != nil:
		f.broken(ev.err)
	case ev.opened:
		f.stream.open = true
		for _, m := range f.mirrors {
			if m.rev != 0 && f.stream.open {
				f.watch(m)
			}
		}
	default:
		f.respond(ev.resp)
	}
}

// respond handles one watch response.
func (f *follower) respond(resp *pb.WatchResponse) {
	m := f.watches[resp.WatchId]
	switch {
	case m == nil: // the answer to a heartbeat, or of a watch that we gave up
		if resp.Canceled && resp.Created {
			f.broken(errors.New("a watch was refused: " + resp.CancelReason))
		}
	case resp.CompactRevision != 0:
		f.again(m, "the events since our last one are compacted")
	case resp.Canceled: // an expired token, for one: a new stream brings a new one
		f.broken(errors.New("the watch of " + m.scope.String() + " was ended: " + resp.CancelReason))
	case resp.Created:
		f.created(m, resp.Header)
	case len(resp.Events) > 0:
		f.advance(m, resp)
	case resp.Header != nil: // progress: nothing has happened up to this revision
		m.rev = max(m.rev, resp.Header.Revision)
	}
}

// created learns whether the server that answers has the history that we know.
func (f *follower) created(m *mirror, h *pb.ResponseHeader) {
	if h != nil && (h.ClusterId != m.id || m.behind && h.Revision < m.rev) {
		m.era++
		f.again(m, "the cluster has another history than before")
		return
	}
	if m.behind && m.unserved() != nil { // what was missed is still to come: a new reader gets a full read
		f.read(m, rand.N(relistSpread))
		return
	}
	m.live, m.behind = true, false
	m.setFault(nil)
	if f.down {
		f.down = false
		f.c.log.Info("etcd " + f.c.target.String() + " is followed again")
	}
}

// advance applies events. Those of one revision may come in fragments: only the
// last one completes it.
func (f *follower) advance(m *mirror, resp *pb.WatchResponse) {
	rev := m.rev
	if !resp.Fragment {
		rev = max(rev, lastRevision(resp.Events))
	}
	m.apply(resp.Events, rev)
	m.rev = rev
}

func lastRevision(events []*mvccpb.Event) int64 { return events[len(events)-1].Kv.ModRevision }

// again reads m in full, at some moment within relistSpread.
func (f *follower) again(m *mirror, why string) {
	f.c.log.Info("reading etcd again in full", "reason", strings.Join([]string{m.scope.String(), why}, ": "))
	m.setFault(f.c.Wrap("read "+m.scope.String(), errors.New(why)))
	m.rev = 0
	f.read(m, rand.N(relistSpread))
}

// beat asks a quiet stream for a sign of life.
func (f *follower) beat() {
	s := f.stream
	if s == nil || !s.open {
		return
	}
	switch {
	case s.heard:
		s.heard, s.asked = false, false
		f.retry.reset()
	case s.asked:
		f.broken(errSilent)
	case !s.ask(progressRequest()):
		f.broken(errBacklog)
	default:
		s.asked = true
	}
}

// warn logs the first fault of an outage.
func (f *follower) warn(fault *Error) {
	if !f.down {
		f.down = true
		f.c.log.Warn("etcd is not followed now; what is known stays, trying on", "err", fault)
	}
}
