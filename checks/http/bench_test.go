package http

import (
	"io"
	"net"
	"testing"
)

// BenchmarkCheck is the usual check of a plain target on this host; the target
// works as little as it can. The connection is most of it.
func BenchmarkCheck(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		buf := make([]byte, 1024)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
			_, _ = c.Read(buf)
			c.Close()
		}
	}()
	addr := l.Addr().(*net.TCPAddr)
	c, err := New(Options{
		Host: "127.0.0.1", Port: addr.Port, URI: "/health", MaxResponse: 1 << 20,
		Timeout: plenty, OpenTimeout: plenty, SSLTimeout: plenty,
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
