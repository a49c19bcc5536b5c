package dnstest

import (
	"context"
	"net"
	"syscall"

	"github.com/miekg/dns"
)

// Dial connects to the server in memory, for tests in simulated time: each
// write over UDP is one datagram. After Die nobody listens.
func (s *Server) Dial(_ context.Context, network, _ string) (net.Conn, error) {
	s.mu.Lock()
	dead := s.dead
	s.mu.Unlock()
	if dead {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	conn := &dns.Conn{Conn: theirs}
	if network != "tcp" {
		conn.Conn = datagrams{theirs}
	}
	go func() {
		defer theirs.Close()
		for {
			query, err := conn.ReadMsg()
			if err != nil {
				return // who asked has gone
			}
			if m := s.reply(query, network == "tcp"); m != nil {
				_ = conn.WriteMsg(m)
			}
		}
	}()
	return ours, nil
}

// Die lets nobody connect by Dial until Heal is called.
func (s *Server) Die() { s.change(func() { s.dead = true }) }

// datagrams is what the library takes for UDP.
type datagrams struct{ net.Conn }

// ReadFrom is part of net.PacketConn.
func (d datagrams) ReadFrom(p []byte) (int, net.Addr, error) {
	n, err := d.Read(p)
	return n, d.RemoteAddr(), err
}

// WriteTo is part of net.PacketConn.
func (d datagrams) WriteTo(p []byte, _ net.Addr) (int, error) { return d.Write(p) }
