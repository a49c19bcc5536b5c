package checktest

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"smartstack/watchers/dnstest"
)

// wire is the bad target's end of one connection, or of one UDP peer.
type wire struct {
	write func([]byte) error
	read  func()       // waits for the first bytes
	wait  func()       // waits until the check hangs up
	conn  *net.TCPConn // nil for UDP
}

// endless repeats b until the check has had enough.
func endless(b string) func(wire) {
	block := bytes.Repeat([]byte(b), 64<<10/len(b))
	return func(w wire) {
		for w.write(block) == nil {
		}
	}
}

// misbehaves: whatever a target does instead of answering, the check fails in
// time, with a reason, and leaves nothing behind.
func misbehaves(t *testing.T, s Subject) {
	if s.ConnectOnly {
		return // it does not listen to what the target says
	}
	for _, f := range []struct {
		name string
		talk func(wire)
	}{
		{"accepts and is silent", nil},
		{"resets", func(w wire) {
			if w.conn != nil {
				_ = w.conn.SetLinger(0)
			}
		}},
		{"hangs up when asked", func(w wire) { w.read() }},
		{"one byte, then nothing", func(w wire) { _ = w.write([]byte("+")); w.wait() }},
		{"speaks something else", func(w wire) { _ = w.write([]byte("SSH-2.0-OpenSSH_9.2\r\n")); w.wait() }},
		{"speaks something else and hangs up", func(w wire) { _ = w.write([]byte("SSH-2.0-OpenSSH_9.2\r\n")) }},
		{"endless letters", endless("y")},
		{"endless lines", endless("+\r\n")},
		{"endless zeros", endless("\x00")},
		{"endless ones", endless("\xff")},
		{"claims a long answer", func(w wire) {
			_ = w.write(append([]byte("$"), bytes.Repeat([]byte{0x7f}, 64)...))
			w.wait()
		}},
		{"answers byte by byte", func(w wire) {
			for w.write([]byte("y")) == nil {
				<-time.After(5 * time.Millisecond)
			}
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			target := listen(t, s, f.talk)
			c := s.New(t, Target(target.addr))
			for range 2 {
				wantReason(t, look(t, c, short))
			}
		})
	}
}

// target is a server that misbehaves.
type target struct {
	addr  string
	asked chan struct{} // gets one when a check has come, and is not read further
}

// listen hands each connection to talk; nil only waits until the check hangs up.
func listen(t *testing.T, s Subject, talk func(wire)) target {
	t.Helper()
	if talk == nil {
		talk = func(w wire) { w.wait() }
	}
	bad := target{asked: make(chan struct{}, 100)}
	if s.Datagrams {
		bad.addr = datagrams(t, bad.asked, talk)
		return bad
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				bad.asked <- struct{}{}
				talk(stream(c.(*net.TCPConn)))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	bad.addr = l.Addr().String()
	return bad
}

func stream(c *net.TCPConn) wire {
	return wire{
		conn:  c,
		write: func(b []byte) error { _, err := c.Write(b); return err },
		read:  func() { _, _ = c.Read(make([]byte, 1)) },
		wait:  func() { _, _ = io.Copy(io.Discard, c) },
	}
}

// datagrams answers each question once more than needed.
func datagrams(t *testing.T, asked chan<- struct{}, talk func(wire)) string {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			_, peer, err := c.ReadFromUDP(make([]byte, 2048))
			if err != nil {
				return
			}
			asked <- struct{}{}
			left := 100 // datagrams are not held up by a slow reader
			all.Go(func() {
				talk(wire{
					write: func(b []byte) error {
						if left--; left < 0 || ctx.Err() != nil {
							return io.EOF
						}
						_, err := c.WriteToUDP(b[:min(len(b), 1400)], peer)
						return err
					},
					read: func() {}, wait: func() {},
				})
			})
		}
	})
	t.Cleanup(func() { stop(); _ = c.Close(); all.Wait() })
	return c.LocalAddr().String()
}

// renamed: names are resolved on every call.
func renamed(t *testing.T, s Subject) {
	const name = "target.checktest.invalid"
	ns := dnstest.Start(t)
	asking := asker{addr: ns.Addr}
	system := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: asking.dial}
	t.Cleanup(func() { net.DefaultResolver = system })

	where := Target(s.Healthy)
	where.Host = name
	c := s.New(t, where)
	wantReason(t, look(t, c, plenty), "no such host")
	ns.Set(name + ". 0 IN A 127.0.0.9") // nobody listens there
	wantReason(t, look(t, c, plenty), "127.0.0.9:"+strconv.Itoa(where.Port))
	ns.Set(name + ". 0 IN A 127.0.0.1")
	if err := look(t, c, plenty); err != nil {
		t.Errorf("after the name has changed: %v", err)
	}
	ns.Silence()
	wantReason(t, look(t, c, short))
	asking.end() // Go's resolver shares questions, so they outlive the one who asked
}

// asker connects Go's resolver to one nameserver.
type asker struct {
	addr string

	mu    sync.Mutex
	ended bool
	conns []net.Conn
}

func (a *asker) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil, net.ErrClosed
	}
	c, err := new(net.Dialer).DialContext(ctx, network, a.addr)
	if err == nil {
		a.conns = append(a.conns, c)
	}
	return c, err
}

func (a *asker) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for _, c := range a.conns {
		_ = c.Close()
	}
}
