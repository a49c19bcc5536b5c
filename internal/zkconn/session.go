package zkconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// maxInFlight bounds the requests under way in one session: enough to keep the
// link full, few enough for the memory that their answers may take.
const maxInFlight = 512

// maxPacket bounds one answer, in bytes: the names of about 400,000 children.
// The library by itself would allocate whatever a server announces.
const maxPacket = 32 << 20

// State is what is known of a session at one moment.
type State struct {
	Connected bool
	// Session counts the sessions from 1; 0 means that there was none yet. A
	// new number means that all watches and all ephemeral nodes of the one
	// before are gone.
	Session uint64
	// Link counts the connections. A new number in an old session means that
	// watches are armed again and will tell what was missed.
	Link uint64
	// ID is the server's number of the session, as in Stat.EphemeralOwner.
	ID int64
	// Since is when Connected became what it is.
	Since time.Time
	// Err is why there is no connection; nil when there is one.
	Err error
	// Changed is closed when any of this changes.
	Changed <-chan struct{}
}

// session is one ZooKeeper session and its successors.
type session struct {
	normal
	log    *slog.Logger
	zk     *zk.Conn
	order  *hosts        // in which they are tried
	slots  chan struct{} // one token for each request under way
	dialer dialer
	cancel context.CancelFunc // ends dialing and the goroutines below
	ended  chan struct{}      // closed when the library has let go
	noBulk atomic.Bool        // the server does not know bulk reads
	tasks  sync.WaitGroup

	mu       sync.Mutex
	state    State
	changed  chan struct{}
	linkUp   uint64           // number of the link that is being made ready; 0 = none
	authed   []credential     // those that the library has taken
	faults   map[string]error // by host, since the last connection
	watchers map[string][]*Subscription
	claims   map[string]int  // how many have the node
	discards map[string]Stat // nodes to delete when the link is back, as they were left
}

func startSession(n normal, log *slog.Logger, dial DialFunc) *session {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{
		normal: n, log: log, cancel: cancel,
		order:    newHosts(n.hosts),
		slots:    make(chan struct{}, maxInFlight),
		ended:    make(chan struct{}),
		changed:  make(chan struct{}),
		faults:   map[string]error{},
		watchers: map[string][]*Subscription{},
		claims:   map[string]int{},
		discards: map[string]Stat{},
	}
	s.state = State{Since: time.Now(), Changed: s.changed}
	s.dialer = dialer{
		ctx: ctx, plain: dial, timeout: n.dialTimeout(), handshake: n.handshakeTimeout(), failed: s.fault,
		secure: n.encrypt, forget: s.forgotten, tickets: &tickets{waiting: map[int32]chan bulkAnswer{}},
	}
	s.order.connected = s.dialer.established
	s.mu.Lock() // the library may call back before Connect has returned
	defer s.mu.Unlock()
	conn, events, err := zk.Connect(n.hosts, n.timeout,
		zk.WithHostProvider(s.order), zk.WithDialer(s.dialer.dial), zk.WithEventCallback(s.hear),
		zk.WithLogger(libraryLog{s}), zk.WithMaxBufferSize(maxPacket), zk.WithMaxConnBufferSize(maxRequest))
	if err != nil {
		panic(fmt.Sprintf("zookeeper %s: %v", n.name(), err)) // only for an empty list of hosts, which normalize refuses
	}
	s.zk = conn
	go func() {
		for range events { // all news comes through hear
		}
		close(s.ended)
	}()
	return s
}

// State returns what is known now.
func (s *session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Timeout returns the session timeout asked for.
func (s *session) Timeout() time.Duration { return s.timeout }

// Name shows the hosts and the chroot.
func (s *session) Name() string { return s.name() }

// hear is called by the library's goroutines and must not block.
func (s *session) hear(ev zk.Event) {
	switch {
	case ev.Type != zk.EventSession:
		s.route(ev)
	case ev.State == zk.StateHasSession:
		s.gotLink()
	case ev.State == zk.StateDisconnected:
		s.lostLink()
	case ev.State == zk.StateExpired:
		s.log.Warn("ZooKeeper " + s.name() + " has expired our session: its watches and registrations are gone, a new session follows")
	}
}

// gotLink starts to make a link ready. Requests are held back until that is
// done.
func (s *session) gotLink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Link++
	s.linkUp = s.state.Link
	id := s.zk.SessionID()
	fresh := id != s.state.ID
	if fresh {
		s.state.ID = id
		s.state.Session++
	}
	watchesSent := s.dialer.watchesSent()
	link := s.linkUp
	s.tasks.Go(func() { s.makeReady(link, fresh, watchesSent) })
}

// watchesWait is how long a resumed session waits for its watches to be sent
// again: it has none when that does not happen at once.
const watchesWait = 100 * time.Millisecond

// makeReady opens the session for requests: after its credentials, and, in a
// resumed session, after its watches.
func (s *session) makeReady(link uint64, fresh bool, watchesSent <-chan struct{}) {
	for {
		err := s.authenticate()
		if err == nil {
			break
		}
		s.fault(s.zk.Server(), err)
		if !s.retryReady(link) {
			return // the server has closed the link
		}
	}
	if !fresh {
		select {
		case <-watchesSent:
		case <-time.After(watchesWait):
		case <-s.dialer.ctx.Done():
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.linkUp != link {
		return
	}
	clear(s.faults)
	s.log.Info("connected to ZooKeeper at " + s.zk.Server())
	s.announce(func(st *State) { st.Connected, st.Since, st.Err = true, time.Now(), nil })
	if len(s.discards) > 0 {
		s.tasks.Go(s.discard)
	}
}

// readyRetry is the pause after credentials that cannot be read.
const readyRetry = time.Second

// retryReady waits, and reports whether the link is still worth it.
func (s *session) retryReady(link uint64) bool {
	select {
	case <-time.After(readyRetry):
	case <-s.dialer.ctx.Done():
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.linkUp == link
}

// authenticate shows the credentials that the library has not taken yet, as
// they are now. It repeats the others by itself on each link.
func (s *session) authenticate() error {
	all, err := s.credentials()
	if err != nil {
		return err
	}
	for _, c := range all {
		s.mu.Lock()
		known := slices.Contains(s.authed, c)
		s.mu.Unlock()
		if known {
			continue
		}
		if err := s.zk.AddAuth(c.scheme, []byte(c.text)); err != nil {
			return fmt.Errorf("showing the %s credential: %w", c.scheme, err)
		}
		s.mu.Lock()
		s.authed = append(s.authed, c) // two links' goroutines may overlap: twice does no harm
		s.mu.Unlock()
	}
	return nil
}

// forgotten tells whether nobody has let us in for so long that the servers may
// have been made anew, or from a backup. Such servers know less than the session
// has seen, and refuse it for ever; without that they tell that it has expired.
// Servers that had lost their quorum only resume it all the same.
func (s *session) forgotten() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Session > 0 && !s.state.Connected && time.Since(s.state.Since) > 2*s.timeout
}

func (s *session) lostLink() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.linkUp = 0
	if s.state.Connected {
		s.announce(func(st *State) { st.Connected, st.Since = false, time.Now() })
		s.log.Warn("lost the connection to ZooKeeper, trying "+s.name()+" in turn", "err", s.cause())
	}
	s.state.Err = s.cause()
}

// announce changes the state and wakes everybody; s.mu is held.
func (s *session) announce(change func(*State)) {
	change(&s.state)
	close(s.changed)
	s.changed = make(chan struct{})
	s.state.Changed = s.changed
}

// fault notes why a host cannot be used.
func (s *session) fault(host string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[host] = err
	if !s.state.Connected {
		s.state.Err = s.cause()
	}
}

// cause puts the hosts' faults into one error; s.mu is held.
func (s *session) cause() error {
	var all []string
	for _, host := range slices.Sorted(maps.Keys(s.faults)) {
		all = append(all, host+": "+s.faults[host].Error())
	}
	if len(all) == 0 {
		return errors.New("no host has answered yet")
	}
	return errors.New(strings.Join(all, "; "))
}

// Claim takes a node for its caller; false means that somebody else in this
// process has it. It keeps apart registrations whose names have the same
// beginning.
func (s *session) Claim(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[node] > 0 {
		return false
	}
	s.claims[node] = 1
	return true
}

// Share takes a node whoever else has it, as at a hand-over.
func (s *session) Share(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims[node]++
}

// Unclaim gives a node back that was claimed or shared.
func (s *session) Unclaim(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[node]--; s.claims[node] <= 0 {
		delete(s.claims, node)
	}
}

// Discard deletes a node as soon as there is a connection, for a caller that
// can no longer wait for one, if it is still as stat says: nobody has made or
// written it anew. It is given up with the session's last holder.
func (s *session) Discard(node string, stat Stat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.discards[node] = stat
	if s.state.Connected {
		s.tasks.Go(s.discard)
	}
}

// DiscardMade deletes what a create still under way will have made, for a
// caller that can no longer wait for its answer.
func (s *session) DiscardMade(p *Pending[string]) {
	s.tasks.Go(func() {
		<-p.done // a session's end answers everything
		if p.err != nil {
			return
		}
		if stat, err := s.Exists(s.dialer.ctx, p.value); err == nil && stat != nil {
			s.Discard(p.value, *stat)
		}
	})
}

// discard tries once; what fails for want of an answer stays for the next
// connection.
func (s *session) discard() {
	s.mu.Lock()
	todo := maps.Clone(s.discards)
	s.mu.Unlock()
	for node, left := range todo {
		stat, err := s.Exists(s.dialer.ctx, node)
		if err == nil && stat != nil && stat.Czxid == left.Czxid && stat.Version == left.Version {
			var p *Pending[struct{}]
			if p, err = s.Delete(s.dialer.ctx, node, stat.Version); err == nil {
				_, err = p.Wait(s.dialer.ctx)
			}
		}
		if err != nil && IsLink(err) {
			return
		}
		s.mu.Lock()
		delete(s.discards, node)
		s.mu.Unlock()
	}
}

// closeWait is how long the end of a session may take in the good way, which
// also removes its ephemeral nodes at once.
const closeWait = 400 * time.Millisecond

// end closes the session, or its link when the server does not answer.
func (s *session) end() {
	s.cancel()
	closing := make(chan struct{})
	go func() { s.zk.Close(); close(closing) }()
	select {
	case <-s.ended:
	case <-time.After(closeWait):
		s.dialer.drop()
		<-s.ended
	}
	s.tasks.Wait()
	select {
	case <-closing:
	case <-time.After(closeWait): // it waits for an answer that nobody will give, for a second or two
	}
}

// libraryLog takes what the library logs: it goes to debug, and its errors
// explain why there is no connection.
type libraryLog struct{ s *session }

func (l libraryLog) Printf(format string, args ...any) {
	l.s.log.Debug("ZooKeeper library: " + fmt.Sprintf(format, args...))
	if len(args) == 0 {
		return
	}
	if err, ok := args[len(args)-1].(error); ok && err != nil {
		l.s.fault(l.s.dialer.host(), err)
	}
}
