package checkconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// MaxRead bounds what one call of a check reads from its target, in bytes: the
// answers to checks are small, and a target that never stops sending is ill.
const MaxRead = 1 << 20

// Dialer opens the connections of one check. Its methods may be called by one
// goroutine at a time.
type Dialer struct {
	network, address string
	literal          netip.AddrPort // the address, where the host is no name; else invalid
	dialer           net.Dialer
	bound            time.Duration // of connecting to a literal; 0 = that of ctx
	tls              *secure       // nil = plain
}

// NewDialer returns a dialer for t, with TLS as o says; it does no I/O. Names
// are resolved on each Dial, so a name may change its address.
func NewDialer(t Target, o TLS) (*Dialer, error) {
	network, address, err := t.Where()
	if err != nil {
		return nil, err
	}
	d := &Dialer{network: network, address: address, dialer: net.Dialer{KeepAlive: -1}}
	if ip, err := netip.ParseAddr(t.host()); err == nil && network == "tcp" {
		d.literal = netip.AddrPortFrom(ip, uint16(t.Port))
	}
	d.tls, err = o.build(t)
	return d, err
}

// Bound gives connecting a time of its own, beside that of ctx. Then the
// connection has no deadline: each later step is to set its own.
func (d *Dialer) Bound(limit time.Duration) { d.bound = limit }

// Address returns where the dialer connects to, for messages.
func (d *Dialer) Address() string { return d.address }

// Dial connects and, where it is asked for, completes the TLS handshake. The
// connection ends with ctx: every read and write fails at once from then on.
func (d *Dialer) Dial(ctx context.Context) (*Conn, error) {
	plain, err := d.Plain(ctx)
	if err != nil || d.tls == nil {
		return plain, err
	}
	return d.Secure(ctx, plain)
}

// Plain connects without TLS, for protocols that ask for it later on.
func (d *Dialer) Plain(ctx context.Context) (*Conn, error) {
	var conn net.Conn
	var err error
	if d.literal.IsValid() {
		conn, err = d.dialer.DialTCP(d.bounded(ctx), "tcp", netip.AddrPort{}, d.literal)
	} else {
		dialer := d.dialer
		dialer.Timeout = d.bound
		conn, err = dialer.DialContext(ctx, d.network, d.address)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	if d.bound > 0 {
		return follow(ctx, conn), nil
	}
	return Wrap(ctx, conn), nil
}

// bounded is ctx with the deadline of connecting. A context of its own, with a
// timer, would cost more than the rest of the call: the connection itself sees
// to deadlines.
func (d *Dialer) bounded(ctx context.Context) context.Context {
	if d.bound <= 0 {
		return ctx
	}
	end := time.Now().Add(d.bound)
	if last, ok := ctx.Deadline(); ok && !end.Before(last) {
		return ctx
	}
	return sooner{ctx, end}
}

// sooner is a context that ends with another, and tells an earlier deadline to
// those who ask.
type sooner struct {
	context.Context
	end time.Time
}

// Deadline tells the earlier one.
func (s sooner) Deadline() (time.Time, bool) { return s.end, true }

// Wrap makes conn end with ctx.
func Wrap(ctx context.Context, conn net.Conn) *Conn {
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end) // where it fails, the end of ctx closes the connection
	}
	return follow(ctx, conn)
}

func follow(ctx context.Context, conn net.Conn) *Conn {
	c := &Conn{Conn: conn, left: MaxRead}
	c.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c
}

// Conn is a connection that ends with the context of its Dial.
type Conn struct {
	net.Conn
	forget func() bool
	left   int64 // bytes that may still be read
}

// ErrTooMuch tells that the target has sent more than MaxRead.
var ErrTooMuch = fmt.Errorf("the target has sent more than %d bytes", MaxRead)

// Read reads at most MaxRead bytes in all.
func (c *Conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, ErrTooMuch
	}
	p = p[:min(int64(len(p)), c.left)]
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	return n, err
}

// Close closes the connection with the usual farewell.
func (c *Conn) Close() error {
	c.forget()
	return c.Conn.Close()
}

// Drop closes the connection with a reset, once all is said: the usual
// farewell would leave a socket in TIME_WAIT behind, and a thousand services
// 100,000 of them.
func (c *Conn) Drop() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// Ended prefers the end of ctx over the broken connection that it caused.
func Ended(ctx context.Context, err error) error {
	cause := ctx.Err()
	if end, ok := ctx.Deadline(); ok && cause == nil && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(end) {
		cause = context.DeadlineExceeded // the connection had the same deadline, and was a little earlier
	}
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%w)", cause, err)
}
