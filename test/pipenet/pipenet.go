// Package pipenet is a network in memory, for tests in simulated time, which
// cannot wait for sockets.
//
//	synctest.Test(t, func(t *testing.T) {
//		dial, stop := pipenet.Serve(handler)
//		defer stop()
//		…
//	})
package pipenet

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// Dialer makes a connection, as net.Dialer does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// Serve serves HTTP to all who dial, whatever the address, until stop is
// called.
func Serve(h http.Handler) (dial Dialer, stop func()) {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	return l.dial, func() {
		_ = server.Close()
		served.Wait()
	}
}

// Breaker is a network over dial that can be taken away. Make it with
// NewBreaker.
type Breaker struct {
	dial  Dialer
	mu    sync.Mutex // guards the fields below
	dead  bool
	conns []net.Conn
}

// NewBreaker makes one that leads on to dial.
func NewBreaker(dial Dialer) *Breaker { return &Breaker{dial: dial} }

// Dial makes a connection while there is a network.
func (b *Breaker) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	b.mu.Lock()
	dead := b.dead
	b.mu.Unlock()
	if dead {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	conn, err := b.dial(ctx, network, address)
	if err == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.conns = append(b.conns, conn)
	}
	return conn, err
}

// Die cuts all connections, and refuses new ones.
func (b *Breaker) Die() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
	for _, c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
}

// Heal undoes Die for new connections.
func (b *Breaker) Heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = false
}

type listener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept is part of net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is part of net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is part of net.Listener.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
