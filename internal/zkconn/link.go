package zkconn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// maxRequest bounds one request, in bytes. The server's own default is 1 MB; a
// path-encoded registration is at most its name and its data, 64 kB each.
const maxRequest = 256 << 10

// The library tries a host at once when a link is lost, and then waits a
// second between the rounds. A link that lived for less than shortLived is
// followed by a pause of pace to twice that.
const (
	shortLived = time.Second
	pace       = 250 * time.Millisecond
)

func (n normal) dialTimeout() time.Duration {
	return min(5*time.Second, max(n.timeout/3, time.Second))
}

func (n normal) handshakeTimeout() time.Duration {
	return min(10*time.Second, max(n.timeout/3, time.Second))
}

// hosts is the library's list of servers. It hands out names, shuffled once,
// that are looked up at each dial.
type hosts struct {
	connected func()
	mu        sync.Mutex
	list      []string
	next      int
	tried     int // since the last connection
}

func newHosts(list []string) *hosts {
	h := &hosts{list: append([]string(nil), list...)}
	rand.Shuffle(len(h.list), func(i, j int) { h.list[i], h.list[j] = h.list[j], h.list[i] })
	return h
}

// Init is called by the library with the list that we have already.
func (h *hosts) Init([]string) error { return nil }

// Len returns the number of hosts.
func (h *hosts) Len() int { return len(h.list) }

// Next returns the next host, and whether all were tried since the last
// connection.
func (h *hosts) Next() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	host := h.list[h.next]
	round := h.tried > 0 && h.tried%len(h.list) == 0
	h.next = (h.next + 1) % len(h.list)
	h.tried++
	return host, round
}

// Connected is called by the library after a handshake.
func (h *hosts) Connected() {
	h.mu.Lock()
	h.tried = 0
	h.mu.Unlock()
	h.connected()
}

// dialer makes links and remembers the current one.
type dialer struct {
	ctx       context.Context
	plain     DialFunc
	secure    func(context.Context, net.Conn, string) (net.Conn, error) // normal.encrypt
	timeout   time.Duration
	handshake time.Duration
	failed    func(host string, err error)
	tickets   *tickets
	forget    func() bool // the next link is to be asked for without what the session has seen

	mu      sync.Mutex
	address string // tried last
	link    *link
	born    time.Time // of the link
}

// dial has the library's signature; the timeout it passes cannot be chosen.
func (d *dialer) dial(network, address string, _ time.Duration) (net.Conn, error) {
	if err := d.wait(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.address = address
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		d.failed(address, err)
		return nil, err
	}
	l := &link{
		Conn: conn, in: bufio.NewReaderSize(conn, 32<<10),
		deadline: time.Now().Add(d.handshake), watches: make(chan struct{}), forget: d.forget(),
		tickets: d.tickets, multiRead: opMultiRead, bulks: map[uint32]int32{},
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil { // ended meanwhile: drop will not be called again
		_ = conn.Close()
		return nil, d.ctx.Err()
	}
	d.link, d.born = l, time.Now()
	return l, nil
}

// connect makes the connection, with TLS where that is wanted.
func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	plain, err := d.plain(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err := d.secure(ctx, plain, address)
	if err != nil {
		_ = plain.Close() // the reason is known
		return nil, err
	}
	return conn, nil
}

// wait spaces out links that break at once.
func (d *dialer) wait() error {
	d.mu.Lock()
	young := d.link != nil && time.Since(d.born) < shortLived
	d.mu.Unlock()
	if !young {
		return d.ctx.Err()
	}
	select {
	case <-d.ctx.Done():
		return d.ctx.Err()
	case <-time.After(pace + rand.N(pace)):
		return nil
	}
}

// host returns the host that was tried last.
func (d *dialer) host() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.address
}

// established ends the handshake of the current link. The library calls it
// between the handshake and the start of its loops.
func (d *dialer) established() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link.deadline = time.Time{}
}

// watchesSent returns a channel that is closed when the current link has sent
// the session's watches.
func (d *dialer) watchesSent() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.watches
}

// drop breaks the current link.
func (d *dialer) drop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link != nil {
		_ = d.link.Close()
	}
}

// link is one TCP connection. The library reads the head and the body of each
// packet apart, so reads are buffered; and it writes each packet in one piece,
// so that they can be told apart here. One goroutine reads, one writes.
type link struct {
	net.Conn
	in       *bufio.Reader
	deadline time.Time // of the handshake; zero after it

	forget  bool   // zxid is 0
	zxid    []byte // the last transaction that the session saw before this link
	watches chan struct{}
	sent    bool // watches is closed

	tickets   *tickets
	multiRead uint32 // the operation of bulk reads; tests choose one that no server knows
	packet    []byte // an exchanged one, kept for the next
	mu        sync.Mutex
	bulks     map[uint32]int32 // tickets of the bulk reads under way, by xid; guarded by mu
	left      int              // bytes of the current packet that the library has not read
	instead   []byte           // what it gets in place of the current packet
}

// Read passes packets on, but for the answers to bulk reads.
func (l *link) Read(p []byte) (int, error) {
	for l.left == 0 && len(l.instead) == 0 {
		head, err := l.in.Peek(8)
		if err != nil {
			return 0, err
		}
		length := int(binary.BigEndian.Uint32(head))
		ticket, ok := l.asked(binary.BigEndian.Uint32(head[4:]))
		if !ok {
			l.left = 4 + length
			break
		}
		if l.instead, err = l.bulk(ticket, length); err != nil {
			return 0, err
		}
	}
	if len(l.instead) > 0 {
		n := copy(p, l.instead)
		l.instead = l.instead[n:]
		return n, nil
	}
	n, err := l.in.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// asked returns, once, the ticket of the bulk read with that xid.
func (l *link) asked(xid uint32) (ticket int32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ticket, ok = l.bulks[xid]
	delete(l.bulks, xid)
	return ticket, ok
}

// SetReadDeadline is overruled during the handshake, for which the library
// allows ten times the read timeout, and no limit at all for its second half.
func (l *link) SetReadDeadline(t time.Time) error {
	if !l.deadline.IsZero() {
		t = l.deadline
	}
	return l.Conn.SetReadDeadline(t)
}

// opSetWatches is the request that arms the watches of a resumed session.
const opSetWatches = 101

// Write passes one packet on. The first is the connect request (length,
// protocol version, last transaction seen, …); a later one with the operation
// SetWatches (length, xid, operation, relative transaction, …) is made relative
// to the same transaction.
func (l *link) Write(p []byte) (int, error) {
	if l.zxid == nil && len(p) >= 16 {
		p = bytes.Clone(p)
		if l.forget {
			clear(p[8:16])
		}
		l.zxid = p[8:16]
		return l.Conn.Write(p)
	}
	if len(p) < 20 {
		return l.Conn.Write(p)
	}
	switch binary.BigEndian.Uint32(p[8:]) {
	case opSetWatches:
		copy(p[12:20], l.zxid)
		n, err := l.Conn.Write(p)
		if !l.sent && err == nil {
			l.sent = true
			close(l.watches)
		}
		return n, err
	case opMulti:
		frame, ticket, ok := exchange(l.packet[:0], p)
		if !ok {
			break
		}
		l.packet = frame
		binary.BigEndian.PutUint32(frame[8:], l.multiRead)
		l.mu.Lock()
		l.bulks[binary.BigEndian.Uint32(p[4:])] = ticket
		l.mu.Unlock()
		if _, err := l.Conn.Write(frame); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return l.Conn.Write(p)
}
