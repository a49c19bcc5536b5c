package servers

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between one client and a server, so that a test can break their
// link while the server lives on for others.
type Proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	off   bool
	conns []net.Conn
}

// StartProxy starts a proxy for the server at addr, which ends with the test.
func StartProxy(tb testing.TB, addr string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: l, server: addr}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	tb.Cleanup(func() { _ = l.Close(); p.Cut(); all.Wait() })
	return p
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut breaks all connections; new ones are closed as soon as they are made.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// Restore lets new connections through again.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = false
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	open := !p.off
	if open {
		p.conns = append(p.conns, client, server)
	}
	p.mu.Unlock()
	if !open {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.Close() })
	_, _ = io.Copy(client, server)
	_ = client.Close()
	both.Wait()
}
