package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// hop is one server and what to ask it: the check's target, or where a
// redirect leads.
type hop struct {
	at      *url.URL // scheme and host, and the path after a redirect
	uri     string
	dialer  *checkconn.Dialer
	request []byte // of HTTP/1.1, the same every time
	headers []header
}

type header struct{ key, value string }

func newHop(o Options, at *url.URL, t checkconn.Target, tls checkconn.TLS, uri string, own config.Map[string]) (*hop, error) {
	dialer, err := checkconn.NewDialer(t, tls)
	if err != nil {
		return nil, err
	}
	dialer.Bound(o.OpenTimeout.Duration())
	h := &hop{at: at, uri: uri, dialer: dialer}
	return h, h.prepare(own)
}

// prepare writes the request.
func (h *hop) prepare(own config.Map[string]) error {
	if strings.ContainsFunc(h.uri, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("uri: %q holds a space or a control character; encode it as %%20 or the like", h.uri)
	}
	h.headers = []header{{"Host", h.at.Host}, {"Accept", "*/*"}, {"User-Agent", "nerve"}, {"Connection", "close"}}
	for _, e := range own {
		if !checkconn.ValidHeader(e.Key, e.Value) { // the value may be a secret
			return fmt.Errorf("headers: %q is no valid header: a name, and a value without line breaks", e.Key)
		}
		h.set(http.CanonicalHeaderKey(e.Key), e.Value)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "GET %s HTTP/1.1\r\n", h.uri)
	for _, e := range h.headers {
		fmt.Fprintf(&out, "%s: %s\r\n", e.key, e.value)
	}
	out.WriteString("\r\n")
	h.request = out.Bytes()
	return nil
}

func (h *hop) set(key, value string) {
	for i := range h.headers {
		if h.headers[i].key == key {
			h.headers[i].value = value
			return
		}
	}
	h.headers = append(h.headers, header{key, value})
}

// hostHeader is the target's name, with the port unless it is the usual one.
func (c *Check) hostHeader() string {
	if c.o.Socket != "" {
		return "localhost"
	}
	usual := 80
	if c.o.SSL {
		usual = 443
	}
	if c.o.Port == usual {
		return strings.TrimSuffix(net.JoinHostPort(c.o.Host, ""), ":")
	}
	return net.JoinHostPort(c.o.Host, strconv.Itoa(c.o.Port))
}

// connect opens a connection and makes the TLS handshake, each in its time.
func (h *hop) connect(ctx context.Context, o Options) (*checkconn.Conn, error) {
	conn, err := h.dialer.Plain(ctx)
	if err != nil || !h.dialer.Secured() {
		return conn, late("connecting", "open_timeout", o.OpenTimeout, err)
	}
	if err := conn.SetDeadline(time.Now().Add(o.SSLTimeout.Duration())); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	var protocols []string
	if o.HTTP2 {
		protocols = []string{"h2", "http/1.1"}
	}
	secured, err := h.dialer.Secure(ctx, conn, protocols...)
	return secured, late("TLS handshake", "ssl_timeout", o.SSLTimeout, err)
}

// agreed tells whether the target has chosen HTTP/2 in the TLS handshake.
func agreed(conn *checkconn.Conn) bool {
	t, ok := conn.Conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// follow returns the hop that a redirect leads to. Our headers and our
// certificate are for the check's own target alone.
func (c *Check) follow(h *hop, location string) (*hop, error) {
	here := *h.at
	if path, query, ok := strings.Cut(h.uri, "?"); ok {
		here.Path, here.RawQuery = path, query
	} else {
		here.Path = h.uri
	}
	to, err := here.Parse(location)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return nil, fmt.Errorf("GET %s: the redirect leads to %q, which is no place to go", h.uri, location)
	}
	at := &url.URL{Scheme: to.Scheme, Host: to.Host}
	if *at == *c.first.at {
		next := &hop{at: at, uri: to.RequestURI(), dialer: c.first.dialer}
		return next, next.prepare(c.headers)
	}
	t := checkconn.Target{Host: to.Hostname(), Port: 80}
	if to.Scheme == "https" {
		t.Port = 443
	}
	if port := to.Port(); port != "" {
		t.Port, _ = strconv.Atoi(port) // digits alone, as Parse has seen to
	}
	tls := checkconn.TLS{On: to.Scheme == "https", Verify: c.o.Verify, CAFile: c.o.CAFile}
	next, err := newHop(c.o, at, t, tls, to.RequestURI(), nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: the redirect leads to %q: %w", h.uri, location, err)
	}
	return next, nil
}
