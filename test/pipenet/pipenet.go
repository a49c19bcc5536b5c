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
