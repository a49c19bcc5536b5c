package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The bounds of what a client takes.
const (
	maxAnswer  = 256 << 20 // 100,000 backends with all that is known of them
	maxLine    = 4 << 20
	clientWait = handlerLimit + 5*time.Second
)

// ErrUnreachable is wrapped by the error of a call that no program answered.
var ErrUnreachable = errors.New("cannot be reached")

// Client talks to one program, behind its socket or its port. It may be used by
// several goroutines.
type Client struct {
	path      string // for people: the socket, or the port's URL
	base      string
	tokenFile string // empty = none
	http      *http.Client
}

// NewClient returns a client for the socket at path. It connects when used.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{path: path, base: "http://localhost", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // nothing is left to close after a call
	}}}
}

// NewPortClient returns a client for the port at a URL such as
// http://127.0.0.1:3213, which bears the token in a file, unless that is empty.
// The file is read at each call.
func NewPortClient(base, tokenFile string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("want the URL of a port, such as http://127.0.0.1:3213, without a login: a token comes from a file")
	}
	return &Client{path: u.String(), base: strings.TrimSuffix(u.String(), "/"), tokenFile: tokenFile, http: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		// Nobody else is told the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Get asks for path, such as /status, and decodes the answer into into, unless
// that is nil.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

// Post sends body as JSON to path and decodes the answer into into, unless
// that is nil.
func (c *Client) Post(ctx context.Context, path string, body, into any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, data, into)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, clientWait)
	defer cancel()
	res, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if into == nil {
		return nil
	}
	if raw, ok := into.(*[]byte); ok {
		*raw, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return err
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the answer of %s to %s cannot be read: %w", c.path, path, err)
	}
	return nil
}

// send returns a successful answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.tokenFile != "" {
		token, err := readToken(c.tokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return nil, cause
		}
		return nil, fmt.Errorf("the program behind %s %w: is it running, does it have this control.socket or control.listen, and may you open it? %w", c.path, ErrUnreachable, err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	e := &Error{Status: res.StatusCode}
	data, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if json.Unmarshal(data, e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("%s: %s", res.Status, strings.TrimSpace(string(data)))
	}
	return nil, e
}

// Events follows a stream and calls f with each event until ctx ends (then it
// returns nil), the stream does, or f returns an error.
func (c *Client) Events(ctx context.Context, path string, f func(Event) error) error {
	res, err := c.send(ctx, http.MethodGet, path, nil)
	if err == nil {
		defer res.Body.Close()
		err = readEvents(res.Body, f)
	}
	if ctx.Err() != nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the program behind %s has ended the view", c.path)
	}
	return err
}

// readEvents reads until the end; the error is then io.EOF.
func readEvents(r io.Reader, f func(Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var e Event
	var data [][]byte
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			if data != nil {
				e.Data = bytes.Join(data, []byte("\n"))
				if err := f(e); err != nil {
					return err
				}
			}
			e, data = Event{}, nil
			continue
		}
		key, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch key {
		case "id":
			e.ID, _ = strconv.ParseUint(value, 10, 64)
		case "event":
			e.Name = value
		case "data":
			data = append(data, []byte(value))
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}
