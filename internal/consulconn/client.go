package consulconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/httpconn"
)

// The limits of one request.
const (
	slack      = 10 * time.Second // for an answer, beyond the wait that was asked for
	maxBody    = 64 << 20         // bytes
	maxMessage = 4 << 10          // bytes of a refusal that are read
)

// client speaks HTTP to the agents. It may be used from any goroutine.
type client struct {
	*httpconn.Client
	target Target
}

// newClient reads the CA file and makes no connection.
func newClient(t Target, dial httpconn.Dialer) (*client, error) {
	c, err := httpconn.New(t.endpoints(), t.access.MaxConnections, dial, t.tlsConfig)
	if err != nil {
		return nil, err
	}
	return &client{c, t}, nil
}

// page is one answer as it came.
type page struct {
	body     []byte
	absent   bool // there is no such key
	index    uint64
	leader   bool          // the server knows one
	age      time.Duration // since the server last heard of it
	withheld bool          // the token may not see all of it
}

// read asks the agents in turn, the one that answered last first.
func (c *client) read(ctx context.Context, q Query, index uint64, wait time.Duration, leader bool) (p *page, err error) {
	err = c.Each(ctx, func(error) bool { return false }, func(endpoint string) error {
		p, err = c.readFrom(ctx, endpoint, q, index, wait, leader)
		index = 0 // another agent may be on another server: no waiting before it has answered
		return err
	})
	return p, err
}

func (c *client) readFrom(ctx context.Context, endpoint string, q Query, index uint64, wait time.Duration, leader bool) (*page, error) {
	limit := slack
	if index > 0 {
		limit += wait + wait/16 // Consul adds up to a sixteenth
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	fault := &Fault{Call: "GET " + endpoint + q.path()}
	res, err := c.send(ctx, endpoint+q.address(index, wait, leader))
	if err != nil {
		fault.Err = err
		return nil, fault
	}
	defer res.Body.Close()
	p, err := pageOf(res, q)
	if err != nil {
		fault.Status, fault.Err = res.StatusCode, err
		return nil, fault
	}
	return p, nil
}

func (c *client) send(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	token, err := c.target.token()
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	res, err := c.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the call is named by our caller
	}
	return res, err
}

// pageOf reads an answer and its header.
func pageOf(res *http.Response, q Query) (*page, error) {
	h := res.Header
	p := &page{leader: h.Get("X-Consul-Knownleader") != "false", withheld: h.Get("X-Consul-Results-Filtered-By-Acls") == "true"}
	if ms, err := strconv.ParseInt(h.Get("X-Consul-Lastcontact"), 10, 64); err == nil && ms > 0 {
		p.age = time.Duration(ms) * time.Millisecond
	}
	index, err := strconv.ParseUint(h.Get("X-Consul-Index"), 10, 64)
	p.index = index
	p.absent = res.StatusCode == http.StatusNotFound && q.kind == keys
	if res.StatusCode != http.StatusOK && (!p.absent || err != nil) {
		words, _ := io.ReadAll(io.LimitReader(res.Body, maxMessage))
		return nil, fmt.Errorf("HTTP status %d: %.200q", res.StatusCode, strings.TrimSpace(string(words)))
	}
	if err != nil {
		return nil, badAnswer("has no X-Consul-Index; is this Consul, or a page of a proxy?")
	}
	if p.absent {
		return p, nil
	}
	if media, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, badAnswer("is %.60q, want application/json; is this Consul, or a page of a proxy?", h.Get("Content-Type"))
	}
	if p.body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1)); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(p.body) > maxBody {
		return nil, badAnswer("is longer than %d bytes", maxBody)
	}
	return p, nil
}
