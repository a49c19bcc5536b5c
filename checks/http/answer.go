package http

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// exchange sends the request and judges the answer. The deadline covers all of
// it, so an answer that drips byte by byte is no answer.
func (c *Check) exchange(h *hop, conn *checkconn.Conn, follow bool) (next string, err error) {
	err = conn.SetDeadline(time.Now().Add(c.o.ReadTimeout.Duration()))
	if err == nil {
		_, err = conn.Write(h.request)
	}
	if err != nil {
		return "", fmt.Errorf("sending the request: %w", err)
	}
	limited := io.LimitedReader{R: conn.Conn, N: c.o.MaxResponse}
	c.reader.Reset(&limited)
	next, err = c.answer(h, c.reader, follow)
	if limited.N <= 0 {
		return "", c.tooLong()
	}
	return next, late("answer", "read_timeout", c.o.ReadTimeout, err)
}

func (c *Check) tooLong() error {
	return fmt.Errorf("the answer is over the limit of %d bytes", c.o.MaxResponse)
}

func (c *Check) answer(h *hop, r *bufio.Reader, follow bool) (next string, err error) {
	if _, err := r.Peek(1); err != nil { // an error that is told once
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if a, ok := quick(r); ok && !(follow && isRedirect(a.code)) {
		if err := c.byCode(h, a.code, a.status); err != nil {
			return "", err
		}
		return "", c.byBody(h, a.code, a.body)
	}
	resp, err := http.ReadResponse(r, c.method)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(r, c.method) // 1xx announce the real answer
	}
	if err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	defer resp.Body.Close()
	return c.judge(h, resp, follow)
}

// exchange2 is exchange in HTTP/2, by the standard library's client.
func (c *Check) exchange2(ctx context.Context, h *hop, conn *checkconn.Conn, follow bool) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.ReadTimeout.Duration())
	defer cancel()
	if err := conn.SetDeadline(time.Now().Add(c.o.ReadTimeout.Duration())); err != nil {
		return "", fmt.Errorf("sending the request: %w", err)
	}
	request, err := h.request2(ctx)
	if err != nil {
		return "", err
	}
	resp, err := client2(conn).RoundTrip(request)
	if err != nil {
		err = fmt.Errorf("reading the answer: %w", err)
	} else {
		defer resp.Body.Close()
		limited := io.LimitedReader{R: resp.Body, N: c.o.MaxResponse}
		resp.Body = io.NopCloser(&limited)
		if next, err = c.judge(h, resp, follow); limited.N <= 0 {
			return "", c.tooLong()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (%w)", os.ErrDeadlineExceeded, err)
	}
	return next, late("answer", "read_timeout", c.o.ReadTimeout, err)
}

// client2 speaks HTTP/2 on one connection.
func client2(conn *checkconn.Conn) *http.Transport {
	ready := make(chan net.Conn, 1)
	ready <- conn.Conn // as it is: the client looks at what its TLS has agreed to
	dial := func(context.Context, string, string) (net.Conn, error) {
		select {
		case c := <-ready:
			return c, nil
		default:
			return nil, errors.New("the connection is broken")
		}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		DialContext: dial, DialTLSContext: dial, Protocols: protocols,
		DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
	}
}

func (h *hop) request2(ctx context.Context) (*http.Request, error) {
	at, err := url.ParseRequestURI(h.uri)
	if err != nil {
		return nil, fmt.Errorf("uri: %w", err)
	}
	at.Scheme, at.Host = h.at.Scheme, h.at.Host
	r := &http.Request{Method: http.MethodGet, URL: at, Header: http.Header{}}
	for _, e := range h.headers {
		switch e.key {
		case "Host":
			r.Host = e.value
		case "Connection": // HTTP/2 has none
		default:
			r.Header[e.key] = []string{e.value}
		}
	}
	return r.WithContext(ctx), nil
}

// judge decides by the code, and then by the body. With follow it returns
// where a redirect leads.
func (c *Check) judge(h *hop, resp *http.Response, follow bool) (next string, err error) {
	code := resp.StatusCode
	if follow && isRedirect(code) {
		if next = resp.Header.Get("Location"); next != "" {
			_, err = io.Copy(io.Discard, resp.Body)
			return next, orBody(err)
		}
	}
	if err := c.byCode(h, code, []byte(resp.Status)); err != nil {
		return "", err
	}
	return "", c.body(h, resp)
}

// byCode judges by the code alone.
func (c *Check) byCode(h *hop, code int, status []byte) error {
	switch {
	case c.degraded.Has(code):
		return service.Degraded{Reason: fmt.Sprintf("GET %s: status %s", h.uri, strconv.Quote(string(status)))}
	case len(c.expected) == 0 && code < 400 || c.expected.Has(code):
		return nil
	}
	return fmt.Errorf("GET %s: status %s", h.uri, strconv.Quote(string(status)))
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func (c *Check) body(h *hop, resp *http.Response) error {
	if c.o.Expect == "" && c.pattern == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return orBody(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return orBody(err)
	}
	return c.byBody(h, resp.StatusCode, body)
}

// byBody judges by what must stand in the body.
func (c *Check) byBody(h *hop, code int, body []byte) error {
	switch {
	case c.o.Expect != "" && !bytes.Contains(body, []byte(c.o.Expect)):
		return fmt.Errorf("GET %s: status %d, but the body of %d bytes does not contain %q", h.uri, code, len(body), c.o.Expect)
	case c.pattern != nil && !c.pattern.Match(body):
		return fmt.Errorf("GET %s: status %d, but the body of %d bytes does not match %q", h.uri, code, len(body), c.o.Pattern)
	}
	return nil
}

func orBody(err error) error {
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
