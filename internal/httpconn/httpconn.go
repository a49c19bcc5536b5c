// Package httpconn is what the clients of registries over HTTP share: several
// endpoints of which the one that answered last is asked first, certificates that
// are renewed on disk, and the pauses after failures.
package httpconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// DialLimit is how long a connection may take, and a TLS handshake again.
const DialLimit = 5 * time.Second

// Dialer makes a connection, as net.Dialer does.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial is the network's own.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: DialLimit}).DialContext(ctx, network, address)
}

// Client speaks HTTP to one of several endpoints. It may be used from any
// goroutine.
type Client struct {
	endpoints []string
	make      func() (*http.Client, error)
	http      atomic.Pointer[http.Client]
	preferred atomic.Int32 // the endpoint that answered last; a hint
}

// New reads the files of conf and makes no connection. idle is how many
// connections to an endpoint are kept. Redirects are not followed.
func New(endpoints []string, idle int, dial Dialer, conf func() (*tls.Config, error)) (*Client, error) {
	c := &Client{endpoints: endpoints, make: func() (*http.Client, error) {
		files, err := conf()
		if err != nil {
			return nil, err
		}
		return &http.Client{
			Transport: &http.Transport{
				DialContext:         dial,
				TLSClientConfig:     files,
				TLSHandshakeTimeout: DialLimit,
				MaxIdleConnsPerHost: idle,
				IdleConnTimeout:     90 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}, nil
	}}
	made, err := c.make()
	if err != nil {
		return nil, err
	}
	c.http.Store(made)
	return c, nil
}

// Close closes the connections that are kept.
func (c *Client) Close() { c.http.Load().CloseIdleConnections() }

// Do sends a request. After a certificate that nobody vouches for, the next one
// goes by the files as they are then: they may have been renewed.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	now := c.http.Load()
	res, err := now.Do(req)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		if made, fault := c.make(); fault == nil && c.http.CompareAndSwap(now, made) {
			now.CloseIdleConnections()
		}
	}
	return res, err
}

// Each tries the endpoints in turn, the one that answered last first, until one
// gives an answer, or an error that is one: the last word for certain.
func (c *Client) Each(ctx context.Context, certain func(error) bool, try func(endpoint string) error) error {
	n := len(c.endpoints)
	first := int(c.preferred.Load())
	var all error
	for i := range n {
		at := (first + i) % n
		err := try(c.endpoints[at])
		if err == nil || certain(err) {
			c.preferred.Store(int32(at))
			return err
		}
		if all == nil {
			all = err
		} else {
			all = fmt.Errorf("%w; %w", all, err)
		}
		if ctx.Err() != nil {
			return all
		}
	}
	c.preferred.Store(int32((first + 1) % n))
	return all
}

const (
	firstRetry   = time.Second // after a failure; doubled
	longestRetry = 30 * time.Second
	longestDeny  = time.Minute // the same while we are refused
)

// Backoff returns the pause after so many failures in a row, half of it drawn so
// that a fleet spreads out. roll is in [0, 1), see Roll.
func Backoff(failures int, refused bool, roll float64) time.Duration {
	longest := longestRetry
	if refused {
		longest = longestDeny
	}
	return time.Duration((0.5 + 0.5*roll) * float64(Doubled(firstRetry, failures-1, longest)))
}

// Doubled returns d after so many doublings, at most longest.
func Doubled(d time.Duration, times int, longest time.Duration) time.Duration {
	for range times {
		if d >= longest {
			break
		}
		d *= 2
	}
	return min(d, longest)
}

// Roll draws a number in [0, 1).
func Roll() float64 { return rand.Float64() }
