package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Generous where the answer comes, short where it never does.
const (
	plenty = config.Seconds(20 * time.Second)
	short  = config.Seconds(50 * time.Millisecond)
)

func options(addr string) Options {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return Options{Host: host, Port: n, URI: "/health", Timeout: plenty, OpenTimeout: plenty, SSLTimeout: plenty, MaxResponse: 1 << 20}
}

func build(t *testing.T, o Options) *Check {
	t.Helper()
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantErr(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("healthy")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the reason %q does not say %q", err, w)
		}
	}
}

func TestStatusAndBody(t *testing.T) {
	big := strings.Repeat("x", 500_000) + "needle" + strings.Repeat("x", 400_000)
	for _, tc := range []struct {
		status       int
		body, expect string
		want         string // in the reason; empty = healthy
	}{
		{200, "OK", "", ""},
		{204, "", "", ""},
		{302, "", "", ""},
		{399, "", "", ""},
		{400, "", "", "status \"400 Bad Request\""},
		{404, "OK", "OK", "404"},
		{503, "maintenance", "", "503"},
		{200, "all is well", "is well", ""},
		{200, "all is well", "is ill", `does not contain "is ill"`},
		{200, "", "x", "0 bytes does not contain"},
		{200, big, "needle", ""},
		{200, big + big, "", "over the limit"},
		{200, big + big, "nothing", "over the limit"},
	} {
		t.Run(fmt.Sprintf("%d %d %s", tc.status, len(tc.body), tc.expect), func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}))
			defer srv.Close()
			o := options(srv.Listener.Addr().String())
			o.Expect = tc.expect
			c := build(t, o)
			for range 2 { // what is kept between calls must not change the result
				err := c.Check(t.Context())
				if tc.want == "" && err != nil {
					t.Fatalf("not healthy: %v", err)
				}
				if tc.want != "" {
					wantErr(t, err, tc.want)
				}
			}
		})
	}
}

func TestRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Options)
		want string
	}{
		{"plain", func(*Options) {}, "GET /health HTTP/1.1\r\nHost: 10.0.0.1:81\r\nAccept: */*\r\nUser-Agent: nerve\r\nConnection: close\r\n\r\n"},
		{"without a slash", func(o *Options) { o.URI = "health?a=b" }, "GET /health?a=b HTTP/1.1\r\n"},
		{"default port", func(o *Options) { o.Port = 80 }, "Host: 10.0.0.1\r\n"},
		{"default TLS port", func(o *Options) { o.Port, o.SSL = 443, true }, "Host: 10.0.0.1\r\n"},
		{"IPv6", func(o *Options) { o.Host = "::1" }, "Host: [::1]:81\r\n"},
		{"IPv6 in brackets", func(o *Options) { o.Host, o.Port = "[::1]", 80 }, "Host: [::1]\r\n"},
		{"own headers", func(o *Options) {
			o.Headers = config.Map[string]{{Key: "host", Value: "example.com"}, {Key: "x-check", Value: "1"}, {Key: "X-CHECK", Value: "2"}}
		}, "Host: example.com\r\nAccept: */*\r\nUser-Agent: nerve\r\nConnection: close\r\nX-Check: 2\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options("10.0.0.1:81")
			tc.edit(&o)
			if got := string(build(t, o).first.request); !strings.Contains(got, tc.want) {
				t.Errorf("request %q does not contain %q", got, tc.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Options)
		want string
	}{
		{"no port", func(o *Options) { o.Port = 0 }, "port"},
		{"no time", func(o *Options) { o.OpenTimeout = 0 }, "open_timeout"},
		{"space in uri", func(o *Options) { o.URI = "/a b" }, "uri"},
		{"smuggled request", func(o *Options) { o.URI = "/\r\nX: y" }, "uri"},
		{"smuggled header", func(o *Options) { o.Headers = config.Map[string]{{Key: "a", Value: "b\r\nc: d"}} }, "header"},
		{"header name", func(o *Options) { o.Headers = config.Map[string]{{Key: "a b", Value: "c"}} }, "header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options("127.0.0.1:80")
			tc.edit(&o)
			_, err := New(o, slog.New(slog.DiscardHandler))
			wantErr(t, err, tc.want)
		})
	}
}

// misbehave accepts connections and hands each to talk.
func misbehave(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			talk(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestMisbehavingServers(t *testing.T) {
	gone := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the check hangs up
	for _, tc := range []struct {
		name string
		talk func(net.Conn)
		want string
	}{
		{"accepts and is silent", gone, "read_timeout 50ms"},
		{"resets", func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, ""},
		{"hangs up", func(c net.Conn) { _, _ = bufio.NewReader(c).ReadString('\n') }, "reading the answer"},
		{"speaks something else", func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-OpenSSH_9.2\r\n"); gone(c) }, "malformed"},
		{"endless header", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: ")
			for err := error(nil); err == nil; {
				_, err = c.Write([]byte(strings.Repeat("y", 1000)))
			}
		}, ""},
		{"endless body", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
			for err := error(nil); err == nil; {
				_, err = c.Write([]byte(strings.Repeat("y", 1000)))
			}
		}, ""},
		{"endless 1xx", func(c net.Conn) {
			for err := error(nil); err == nil; {
				_, err = fmt.Fprint(c, "HTTP/1.1 102 Processing\r\n\r\n")
			}
		}, ""},
		{"drips", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
			for err := error(nil); err == nil; <-time.After(5 * time.Millisecond) {
				_, err = c.Write([]byte("y"))
			}
		}, "read_timeout 50ms"},
		{"body never ends", func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			gone(c)
		}, "read_timeout 50ms"},
		{"body cut off", func(c net.Conn) {
			_, _ = bufio.NewReader(c).ReadString('\n')
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}, "reading the body"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := options(misbehave(t, tc.talk))
			o.ReadTimeout = short
			wantErr(t, build(t, o).Check(t.Context()), tc.want)
		})
	}
}

func TestNobodyListens(t *testing.T) {
	o := options(fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t)))
	wantErr(t, build(t, o).Check(t.Context()), "cannot connect", "refused")
}

func TestCancelEndsACheck(t *testing.T) {
	asked := make(chan struct{}, 1)
	o := options(misbehave(t, func(c net.Conn) {
		_, _ = bufio.NewReader(c).ReadString('\n')
		asked <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- build(t, o).Check(ctx) }()
	<-asked
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "OK")
	}))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(data []byte) {
		if err := os.WriteFile(ca, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := options(srv.Listener.Addr().String())
	o.SSL = true
	if err := build(t, o).Check(t.Context()); err != nil {
		t.Errorf("without ssl_verify: %v", err)
	}
	o.Verify = true
	wantErr(t, build(t, o).Check(t.Context()), "certificate")
	o.CAFile = ca
	c := build(t, o)
	wantErr(t, c.Check(t.Context()), "ssl_ca_file")
	write([]byte("nothing"))
	wantErr(t, c.Check(t.Context()), "no PEM certificate")
	write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	for range 2 {
		if err := c.Check(t.Context()); err != nil {
			t.Errorf("with the right ssl_ca_file: %v", err)
		}
	}
	o.ServerName = "example.org"
	wantErr(t, build(t, o).Check(t.Context()), "example.org")
}

func TestSilentTLS(t *testing.T) {
	o := options(misbehave(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
	o.SSL, o.SSLTimeout = true, short
	wantErr(t, build(t, o).Check(t.Context()), "TLS handshake", "ssl_timeout 50ms")
}

func TestPlainServerAskedForTLS(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	o := options(srv.Listener.Addr().String())
	o.SSL = true
	err := build(t, o).Check(t.Context())
	if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok {
		t.Errorf("got %v", err)
	}
}

// Every check opens a new connection: an old one says nothing about whether
// the service still accepts.
func TestNewConnectionEachTime(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := build(t, options(srv.Listener.Addr().String()))
	for range 3 {
		if err := c.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if conns.Load() != 3 {
		t.Errorf("%d connections for 3 checks", conns.Load())
	}
}

func TestTimeoutCoversAllSteps(t *testing.T) {
	o := Options{Host: "h", Port: 1, URI: "/", MaxResponse: 1, Timeout: config.Seconds(time.Second), OpenTimeout: config.Seconds(2 * time.Second), SSLTimeout: config.Seconds(4 * time.Second)}
	if got := build(t, o).Timeout(); got != 3*time.Second {
		t.Errorf("plain: %v", got)
	}
	o.SSL = true
	if got := build(t, o).Timeout(); got != 7*time.Second {
		t.Errorf("TLS: %v", got)
	}
}

// FuzzAnswer feeds the reader what a hostile target may send.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/0.9\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := build(t, options("127.0.0.1:80"))
		c.o.Expect = "x"
		next, err := c.answer(c.first, bufio.NewReader(strings.NewReader(string(data))), true)
		if err == nil && next != "" {
			_, _ = c.follow(c.first, next)
		}
	})
}
