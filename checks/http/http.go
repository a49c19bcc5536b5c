// Package http checks a service with one GET request on a new connection.
// Healthy is a status from 200 to 399 and, when expect is set, that text in
// the body; redirects are not followed. All of that can be chosen.
//
//	{"type": "http", "uri": "/health", "timeout": 0.2, "rise": 3, "fall": 2}
//	{"type": "http", "uri": "/health", "socket_path": "/run/app.sock", "degraded_codes": "429"}
//	{"type": "http", "uri": "/health", "ssl": true, "ssl_verify": true, "http2": true}
//
// The request is written by hand rather than by net/http's client: that costs
// two thirds of the CPU (with a thousand services it is most of what nerve
// uses), and each of the three timeouts bounds exactly its own step. HTTP/2
// goes through the client.
package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/ranges"
)

// Options are the check's keys.
type Options struct {
	Host        string             `cfg:"host" doc:"Address to check; the service's host when absent."`
	Port        int                `cfg:"port" doc:"Port to check; the service's port when absent."`
	Socket      string             `cfg:"socket_path" doc:"Unix socket to check instead of host and port."`
	URI         string             `cfg:"uri|path" doc:"Path and query to GET; required."`
	Codes       []string           `cfg:"expected_codes" doc:"Codes of a healthy answer, and ranges of them, as in 200-299,404; 200-399 when absent."`
	Degraded    []string           `cfg:"degraded_codes" doc:"Codes, and ranges of them, that mean degraded: the service stays, with degraded_weight."`
	Expect      string             `cfg:"expect" doc:"Text that the body must contain."`
	Pattern     string             `cfg:"expect_regexp" doc:"Regular expression (RE2) that the body must match."`
	MaxResponse int64              `cfg:"max_response" default:"1048576" doc:"Most bytes of headers and body; a longer answer is a failure."`
	Redirects   int                `cfg:"follow_redirects" default:"0" doc:"How many redirects to follow, at most 10; with 0 a redirect is judged by its code."`
	HTTP2       bool               `cfg:"http2" default:"false" doc:"Speak HTTP/2: with ssl when the target agrees to it, else without asking."`
	Headers     config.Map[string] `cfg:"headers" doc:"Request headers; they replace our own of the same name. Redirects to another host do not get them."`
	HeadersFile string             `cfg:"headers_file" doc:"File with more of them, Name: value in a line, such as authorization. It must not be readable for everybody, and may be renewed in place."`
	SSL         bool               `cfg:"ssl" default:"false" doc:"Speak TLS."`
	Verify      bool               `cfg:"ssl_verify" default:"false" doc:"Verify the certificate; the original never does."`
	CAFile      string             `cfg:"ssl_ca_file" doc:"PEM file with the authorities that ssl_verify trusts; the system's when absent."`
	CertFile    string             `cfg:"ssl_cert_file" doc:"PEM file with our certificate, for targets that ask for one; it may be renewed in place."`
	KeyFile     string             `cfg:"ssl_key_file" doc:"PEM file with the key of our certificate. It must not be readable for everybody."`
	ServerName  string             `cfg:"ssl_server_name" doc:"Name to ask for and to verify in TLS; the host when absent."`
	Timeout     config.Seconds     `cfg:"timeout" default:"0.1" doc:"Time for the answer, in seconds, unless read_timeout is set."`
	ReadTimeout config.Seconds     `cfg:"read_timeout" doc:"Time from the request to the end of the answer, in seconds."`
	OpenTimeout config.Seconds     `cfg:"open_timeout" default:"0.2" doc:"Time to resolve the host and to connect, in seconds."`
	SSLTimeout  config.Seconds     `cfg:"ssl_timeout" default:"0.2" doc:"Time for the TLS handshake, in seconds."`
}

// Validate is called by the decoder.
func (o *Options) Validate(n *config.Node, r *config.Report) { r.KeepSecrets(n.Get("headers")) }

// maxRedirects bounds follow_redirects.
const maxRedirects = 10

// Check is one HTTP check.
type Check struct {
	o        Options
	first    *hop
	headers  config.Map[string]     // all of them
	file     *checkconn.HeadersFile // nil = none
	expected ranges.Set             // empty = 200-399
	degraded ranges.Set
	pattern  *regexp.Regexp // nil = none
	method   *http.Request  // what http.ReadResponse wants to know
	reader   *bufio.Reader  // kept: a check is called by one goroutine at a time
}

// New builds the request; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	if o.ReadTimeout == 0 {
		o.ReadTimeout = o.Timeout
	}
	c := &Check{headers: o.Headers, method: &http.Request{Method: http.MethodGet}, reader: bufio.NewReaderSize(nil, 1024)}
	if err := errors.Join(append(o.faults(), c.judgement(o)...)...); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(o.URI, "/") {
		o.URI = "/" + o.URI
	}
	o.Host = strings.Trim(o.Host, "[]")
	c.o = o
	if o.HeadersFile != "" {
		c.file = checkconn.NewHeadersFile(o.HeadersFile)
	}
	var err error
	if c.first, err = c.start(); err == nil && o.HTTP2 {
		_, err = c.first.request2(context.Background()) // which takes fewer paths than HTTP/1.1
	}
	return c, err
}

// faults says what is wrong with single options.
func (o *Options) faults() []error {
	var faults []error
	if o.URI == "" {
		faults = append(faults, errors.New(`"uri" is required: Path and query to GET`))
	}
	if o.ReadTimeout <= 0 || o.OpenTimeout <= 0 || o.SSLTimeout <= 0 {
		faults = append(faults, errors.New("timeout, read_timeout, open_timeout, ssl_timeout: want more than 0 seconds"))
	}
	if o.Redirects < 0 || o.Redirects > maxRedirects {
		faults = append(faults, fmt.Errorf("follow_redirects: want 0 to %d, got %d", maxRedirects, o.Redirects))
	}
	if o.MaxResponse < 1 {
		faults = append(faults, fmt.Errorf("max_response: want at least 1 byte, got %d", o.MaxResponse))
	}
	return faults
}

// judgement reads the options by which an answer is judged, and returns what is
// wrong with them.
func (c *Check) judgement(o Options) []error {
	var codes, degraded, pattern error
	if c.expected, codes = ranges.Parse(o.Codes, 100, 599); codes != nil {
		codes = fmt.Errorf("expected_codes: %w", codes)
	}
	if c.degraded, degraded = ranges.Parse(o.Degraded, 100, 599); degraded != nil {
		degraded = fmt.Errorf("degraded_codes: %w", degraded)
	}
	if o.Pattern != "" {
		if c.pattern, pattern = regexp.Compile(o.Pattern); pattern != nil {
			pattern = fmt.Errorf("expect_regexp: %w", pattern)
		}
	}
	return []error{codes, degraded, pattern}
}

// start is the hop to the check's own target.
func (c *Check) start() (*hop, error) {
	at := &url.URL{Scheme: "http", Host: c.hostHeader()}
	if c.o.SSL {
		at.Scheme = "https"
	}
	t := checkconn.Target{Host: c.o.Host, Port: c.o.Port, Socket: c.o.Socket}
	tls := checkconn.TLS{
		On: c.o.SSL, Verify: c.o.Verify, CAFile: c.o.CAFile, ServerName: c.o.ServerName,
		CertFile: c.o.CertFile, KeyFile: c.o.KeyFile,
	}
	return newHop(c.o, at, t, tls, c.o.URI, c.o.Headers)
}

// Name is how the original names an HTTP check, whatever the file says.
func (c *Check) Name() string {
	if c.o.Socket != "" {
		return "http-" + c.o.Socket + c.o.URI
	}
	return "http-" + c.o.Host + ":" + strconv.Itoa(c.o.Port) + c.o.URI
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration {
	all := c.o.OpenTimeout + c.o.ReadTimeout
	if c.o.SSL || c.o.Redirects > 0 { // which may lead to TLS
		all += c.o.SSLTimeout
	}
	return time.Duration(1+c.o.Redirects) * all.Duration()
}

// Check makes one request, and one for each redirect that it follows.
func (c *Check) Check(ctx context.Context) error {
	if err := c.refresh(); err != nil {
		return err
	}
	h := c.first
	for left := c.o.Redirects; ; left-- {
		next, err := c.visit(ctx, h, c.o.Redirects > 0)
		if err != nil || next == "" {
			return checkconn.Ended(ctx, err)
		}
		if left == 0 {
			return fmt.Errorf("GET %s: still redirected, to %q, after follow_redirects %d", h.uri, next, c.o.Redirects)
		}
		if h, err = c.follow(h, next); err != nil {
			return err
		}
	}
}

// refresh takes over the headers of headers_file where they have changed.
func (c *Check) refresh() error {
	if c.file == nil {
		return nil
	}
	list, fresh, err := c.file.Load()
	if err != nil || !fresh {
		return err
	}
	c.headers = slices.Clone(c.o.Headers)
	for _, h := range list {
		c.headers = append(c.headers, config.Entry[string]{Key: h.Key, Value: h.Value})
	}
	return c.first.prepare(c.headers)
}

// visit makes the request of one hop. With follow it returns where a redirect
// leads, instead of judging that.
func (c *Check) visit(ctx context.Context, h *hop, follow bool) (next string, err error) {
	conn, err := h.connect(ctx, c.o)
	if err != nil {
		return "", err
	}
	if c.o.HTTP2 && (!h.dialer.Secured() || agreed(conn)) {
		defer conn.Close()
		return c.exchange2(ctx, h, conn, follow)
	}
	next, err = c.exchange(h, conn, follow)
	if err != nil {
		_ = conn.Close()
		return "", err
	}
	conn.Drop() // all is said
	return next, nil
}
