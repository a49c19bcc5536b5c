// Package http checks a service with one GET request on a new connection.
// Healthy is a status from 200 to 399 and, when expect is set, that text in
// the body; redirects are not followed.
//
//	{"type": "http", "uri": "/health", "timeout": 0.2, "rise": 3, "fall": 2}
//
// The request is written by hand rather than by net/http's client: that costs
// two thirds of the CPU (with a thousand services it is most of what nerve
// uses), and each of the three timeouts bounds exactly its own step.
package http

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/config"
)

// maxResponse bounds headers and body, in bytes: a health page is small.
const maxResponse = 1 << 20

// Options are the check's keys.
type Options struct {
	Host        string             `cfg:"host" doc:"Address to check; the service's host when absent."`
	Port        int                `cfg:"port" doc:"Port to check; the service's port when absent."`
	URI         string             `cfg:"uri,required" doc:"Path and query to GET."`
	Expect      string             `cfg:"expect" doc:"Text that the body must contain."`
	Headers     config.Map[string] `cfg:"headers" doc:"Request headers; they replace our own of the same name."`
	SSL         bool               `cfg:"ssl" default:"false" doc:"Speak TLS."`
	Verify      bool               `cfg:"ssl_verify" default:"false" doc:"Verify the certificate; the original never does."`
	CAFile      string             `cfg:"ssl_ca_file" doc:"PEM file with the authorities that ssl_verify trusts; the system's when absent."`
	ServerName  string             `cfg:"ssl_server_name" doc:"Name to ask for and to verify in TLS; the host when absent."`
	Timeout     config.Seconds     `cfg:"timeout" default:"0.1" doc:"Time for the answer, in seconds, unless read_timeout is set."`
	ReadTimeout config.Seconds     `cfg:"read_timeout" doc:"Time from the request to the end of the answer, in seconds."`
	OpenTimeout config.Seconds     `cfg:"open_timeout" default:"0.2" doc:"Time to resolve the host and to connect, in seconds."`
	SSLTimeout  config.Seconds     `cfg:"ssl_timeout" default:"0.2" doc:"Time for the TLS handshake, in seconds."`
}

// Check is one HTTP check.
type Check struct {
	o       Options
	address string
	literal netip.AddrPort // the address, where the host is no name; else invalid
	request []byte         // the same every time
	method  *http.Request  // what http.ReadResponse wants to know
	reader  *bufio.Reader  // kept: a check is called by one goroutine at a time
	dialer  net.Dialer
	ca      authorities
}

// New builds the request; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	if o.ReadTimeout == 0 {
		o.ReadTimeout = o.Timeout
	}
	if o.ReadTimeout <= 0 || o.OpenTimeout <= 0 || o.SSLTimeout <= 0 {
		return nil, errors.New("timeout, read_timeout, open_timeout, ssl_timeout: want more than 0 seconds")
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port: want 1 to 65535, got %d", o.Port)
	}
	if !strings.HasPrefix(o.URI, "/") {
		o.URI = "/" + o.URI
	}
	o.Host = strings.Trim(o.Host, "[]")
	c := &Check{
		o: o, address: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)),
		method: &http.Request{Method: http.MethodGet},
		reader: bufio.NewReaderSize(nil, 1024),
		// The connection lives for one request.
		dialer: net.Dialer{Timeout: o.OpenTimeout.Duration(), KeepAlive: -1},
		ca:     authorities{path: o.CAFile},
	}
	if ip, err := netip.ParseAddr(o.Host); err == nil {
		c.literal = netip.AddrPortFrom(ip, uint16(o.Port))
	}
	var err error
	c.request, err = request(o, c.hostHeader())
	return c, err
}

// Name is how the original names an HTTP check, whatever the file says.
func (c *Check) Name() string { return "http-" + c.o.Host + ":" + strconv.Itoa(c.o.Port) + c.o.URI }

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration {
	all := c.o.OpenTimeout + c.o.ReadTimeout
	if c.o.SSL {
		all += c.o.SSLTimeout
	}
	return all.Duration()
}

func (c *Check) hostHeader() string {
	if c.o.SSL && c.o.Port == 443 || !c.o.SSL && c.o.Port == 80 {
		return strings.TrimSuffix(net.JoinHostPort(c.o.Host, ""), ":")
	}
	return c.address
}

// request is the text that goes over the wire.
func request(o Options, host string) ([]byte, error) {
	if strings.ContainsFunc(o.URI, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("uri: %q holds a space or a control character; encode it as %%20 or the like", o.URI)
	}
	headers := map[string]string{"host": host, "accept": "*/*", "user-agent": "nerve", "connection": "close"}
	order := []string{"host", "accept", "user-agent", "connection"}
	for _, h := range o.Headers {
		if !validHeader(h.Key, h.Value) {
			return nil, fmt.Errorf("headers: %q: %q is no valid header", h.Key, h.Value)
		}
		key := strings.ToLower(h.Key)
		if _, ours := headers[key]; !ours {
			order = append(order, key)
		}
		headers[key] = h.Value
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "GET %s HTTP/1.1\r\n", o.URI)
	for _, key := range order {
		fmt.Fprintf(&out, "%s: %s\r\n", http.CanonicalHeaderKey(key), headers[key])
	}
	out.WriteString("\r\n")
	return out.Bytes(), nil
}

// validHeader keeps a header on its line and its name a name.
func validHeader(key, value string) bool {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) &&
		!strings.ContainsFunc(value, control)
}

// Check makes one request.
func (c *Check) Check(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The end of ctx (TERM, or a deadline shorter than ours) must not wait for a step's own deadline.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if c.o.SSL {
		if conn, err = c.handshake(ctx, conn); err != nil {
			return orEnd(ctx, err)
		}
	}
	err = c.exchange(conn)
	if plain, ok := conn.(*net.TCPConn); ok && err == nil {
		// All is said. A reset instead of the usual farewell leaves no
		// TIME_WAIT behind: a thousand services would keep 100,000 of them.
		_ = plain.SetLinger(0)
	}
	return orEnd(ctx, err)
}

func (c *Check) connect(ctx context.Context) (conn net.Conn, err error) {
	if c.literal.IsValid() { // nothing to resolve: less CPU, and less of the stack
		conn, err = c.dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, c.literal)
	} else {
		conn, err = c.dialer.DialContext(ctx, "tcp", c.address)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return conn, nil
}

func (c *Check) handshake(ctx context.Context, conn net.Conn) (net.Conn, error) {
	// #nosec G402: without ssl_verify the certificate is not looked at, as in the original.
	cfg := &tls.Config{InsecureSkipVerify: !c.o.Verify, ServerName: c.o.ServerName}
	if cfg.ServerName == "" {
		cfg.ServerName = c.o.Host
	}
	if c.o.Verify && c.o.CAFile != "" {
		var err error
		if cfg.RootCAs, err = c.ca.load(); err != nil {
			return nil, err
		}
	}
	secured := tls.Client(conn, cfg)
	if err := conn.SetDeadline(time.Now().Add(c.o.SSLTimeout.Duration())); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, late("TLS handshake", "ssl_timeout", c.o.SSLTimeout, err)
	}
	return secured, nil
}

// exchange sends the request and judges the answer. The deadline covers all of
// it, so an answer that drips byte by byte is no answer.
func (c *Check) exchange(conn net.Conn) error {
	err := conn.SetDeadline(time.Now().Add(c.o.ReadTimeout.Duration()))
	if err == nil {
		_, err = conn.Write(c.request)
	}
	if err != nil {
		return fmt.Errorf("sending the request: %w", err)
	}
	limited := io.LimitedReader{R: conn, N: maxResponse}
	c.reader.Reset(&limited)
	err = c.answer(c.reader)
	if limited.N <= 0 {
		return fmt.Errorf("the answer is over the limit of %d bytes", maxResponse)
	}
	return late("answer", "read_timeout", c.o.ReadTimeout, err)
}

func (c *Check) answer(r *bufio.Reader) error {
	resp, err := http.ReadResponse(r, c.method)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(r, c.method) // 1xx announce the real answer
	}
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s: status %s", c.o.URI, strconv.Quote(resp.Status))
	}
	if c.o.Expect == "" {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		var body []byte
		if body, err = io.ReadAll(resp.Body); err == nil && !bytes.Contains(body, []byte(c.o.Expect)) {
			return fmt.Errorf("GET %s: status %d, but the body of %d bytes does not contain %q",
				c.o.URI, resp.StatusCode, len(body), c.o.Expect)
		}
	}
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return nil
}

// late names the option to raise when a step's time was up.
func late(step, option string, limit config.Seconds, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s: not complete within %s %v: %w", step, option, limit.Duration(), err)
	}
	return err
}

// orEnd prefers the end of ctx over the closed connection it caused.
func orEnd(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
	return err
}
