package pipenet

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Relay leads from a bubble of simulated time to a real server outside of it,
// which may die, stall or be cut off. While the server owes an answer the time
// in the bubble stands still; it passes when the line is quiet, ten times as
// fast as outside, and at once when there is no line.
//
//	real := servers.ZooKeeper(t)
//	synctest.Test(t, func(t *testing.T) {
//		relay := pipenet.NewRelay(real.Addr)
//		defer relay.Close()
//		pool := zkconn.NewPoolOver(log, relay.Dial)
//		…
//		relay.Stall()
//		<-time.After(10 * time.Minute)
type Relay struct {
	pumps   sync.WaitGroup
	mu      sync.Mutex // guards the fields below
	address string
	state   state
	lines   map[*line]struct{}
}

type state int

const (
	healthy state = iota
	dead
	stalled
	cutOff
)

// How the time in the bubble follows the time outside while a line is quiet.
const (
	quiet = 10 * time.Millisecond  // outside
	step  = 100 * time.Millisecond // inside
	owing = 500                    // quiets after which an answer is not waited for any more
)

// NewRelay makes a relay to a server. It belongs to the bubble that it is made
// in, or to none.
func NewRelay(address string) *Relay {
	return &Relay{address: address, lines: map[*line]struct{}{}}
}

// Die cuts all lines, and refuses new ones.
func (r *Relay) Die() { r.become(dead) }

// Stall keeps all lines, and lets nothing through; new ones are as silent, as
// those to a process that was stopped.
func (r *Relay) Stall() { r.become(stalled) }

// CutOff lets nothing through; new lines are not made at all, as where packets
// are lost.
func (r *Relay) CutOff() { r.become(cutOff) }

// Heal undoes Die, Stall and CutOff for new lines.
func (r *Relay) Heal() { r.become(healthy) }

// Close cuts all lines and returns when their goroutines have ended. It must be
// the last call in a bubble: the time stops with the bubble's first goroutine.
func (r *Relay) Close() {
	r.Die()
	r.pumps.Wait()
}

// LeadTo makes new lines lead to another server.
func (r *Relay) LeadTo(address string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.address = address
}

func (r *Relay) become(s state) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
	for l := range r.lines {
		l.silent.Store(s != dead)
		_ = l.far.Close()
		if s == dead {
			_ = l.near.Close()
		}
	}
	clear(r.lines)
}

// Dial makes a line to the server, whatever the address.
func (r *Relay) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	r.mu.Lock()
	now, address := r.state, r.address
	r.mu.Unlock()
	switch now {
	case dead:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	case cutOff:
		<-ctx.Done()
		return nil, ctx.Err()
	case stalled:
		ours, theirs := net.Pipe()
		r.pumps.Go((&line{near: theirs}).discard)
		return ours, nil
	}
	far, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	l := &line{near: theirs, far: far}
	r.mu.Lock()
	changed := r.state != now
	if !changed {
		r.lines[l] = struct{}{}
	}
	r.mu.Unlock()
	if changed { // while it was made
		_ = far.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNRESET}
	}
	r.pumps.Go(l.up)
	r.pumps.Go(func() {
		l.down()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.lines, l)
	})
	return ours, nil
}

// line is one connection: near is its end in the bubble, far the real one.
type line struct {
	near, far net.Conn
	silent    atomic.Bool // far is closed, and near must not know
	owed      atomic.Int64
}

// up carries what the client says, for as long as it is there.
func (l *line) up() {
	defer l.far.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := l.near.Read(buf)
		if err != nil {
			return
		}
		l.owed.Store(owing)
		if _, err := l.far.Write(buf[:n]); err != nil {
			if l.silent.Load() {
				l.discard()
			}
			_ = l.near.Close()
			return
		}
	}
}

// discard reads what the client says until it goes.
func (l *line) discard() {
	defer l.near.Close()
	buf := make([]byte, 64<<10)
	for {
		if _, err := l.near.Read(buf); err != nil {
			return
		}
	}
}

// down carries what the server says, and lets the time pass while that is
// nothing.
func (l *line) down() {
	buf := make([]byte, 64<<10)
	for {
		_ = l.far.SetReadDeadline(time.Now().Add(quiet))
		n, err := l.far.Read(buf)
		if n > 0 {
			l.owed.Store(0)
			if _, err := l.near.Write(buf[:n]); err != nil {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if l.owed.Add(-1) < 0 {
				<-time.After(step)
			}
		case l.silent.Load():
			return
		default:
			_ = l.near.Close()
			return
		}
	}
}

// Outside does what must not happen in a bubble, such as to speak to a real
// server directly. Make it with NewOutside, outside.
type Outside struct {
	work chan func()
	done chan struct{}
}

// NewOutside starts one, which ends with the test.
func NewOutside(t testing.TB) *Outside {
	t.Helper()
	o := &Outside{make(chan func()), make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for f := range o.work {
			var one sync.WaitGroup
			one.Go(f) // it may end its goroutine, as t.Fatal does
			one.Wait()
			o.done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(o.work); <-ended })
	return o
}

// Do returns when f is done. The time in the bubble stands still meanwhile.
func (o *Outside) Do(f func()) {
	o.work <- f
	<-o.done
}
