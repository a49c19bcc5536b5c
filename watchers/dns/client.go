package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// client asks nameservers. It is immutable, and so safe for many goroutines.
type client struct {
	servers  []string // ip:port
	search   searchList
	try      time.Duration // for one answer of one nameserver
	attempts int           // how often each nameserver is asked
	dial     dialer
}

// dialer makes a connection, as net.Dialer does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// udpSize is the largest answer that is asked for over UDP: what passes every
// network without being broken into pieces.
const udpSize = 1232

// maxMessage is the size of the largest message, which TCP carries.
const maxMessage = 1<<16 - 1

// newClient reads resolv.conf if no nameservers are given.
func newClient(servers []string, resolvConf string) (*client, error) {
	c := &client{servers: servers, dial: new(net.Dialer).DialContext}
	if len(servers) > 0 {
		return c, nil
	}
	var err error
	if c.servers, c.search, err = readResolvConf(resolvConf); err != nil {
		return nil, fmt.Errorf("nameservers: %w", err)
	}
	return c, nil
}

// lookup asks q of the nameservers, beginning with number first, and returns
// the number of the one that answered.
func (c *client) lookup(ctx context.Context, q question, first int) (answer, int, error) {
	var empty answer
	for i, name := range c.search.names(q.name) {
		a, server, err := c.resolve(ctx, name, q.kind, first)
		if err != nil {
			return answer{}, first, err
		}
		first = server
		if len(a.records) > 0 {
			return a, first, nil
		}
		if i == 0 {
			empty = a
		}
		empty.ttl = min(empty.ttl, a.ttl)
	}
	return empty, first, nil
}

// resolve follows aliases whose records the nameserver did not add.
func (c *client) resolve(ctx context.Context, name string, kind dnsmessage.Type, first int) (answer, int, error) {
	ttl := longestTTL * time.Second
	for range maxAliases {
		a, server, err := c.ask(ctx, name, kind, first)
		if err != nil {
			return answer{}, first, err
		}
		a.ttl = min(a.ttl, ttl)
		if a.alias == "" {
			return a, server, nil
		}
		name, ttl, first = a.alias, a.ttl, server
	}
	return answer{}, first, fmt.Errorf("%s: the chain of aliases has no end", name)
}

// ask asks one nameserver after the other until one answers honestly.
func (c *client) ask(ctx context.Context, name string, kind dnsmessage.Type, first int) (answer, int, error) {
	var errs []error
	for i := range c.attempts * len(c.servers) {
		server := (first + i) % len(c.servers)
		m, err := c.exchange(ctx, c.servers[server], name, kind)
		if err == nil {
			var a answer
			if a, err = read(m, name, kind); err == nil {
				return a, server, nil
			}
		}
		if ctx.Err() != nil {
			return answer{}, first, cmp.Or(context.Cause(ctx), ctx.Err())
		}
		if i < len(c.servers) { // the second round fails as the first did
			errs = append(errs, fmt.Errorf("nameserver %s: %w", c.servers[server], err))
		}
	}
	return answer{}, first, errors.Join(errs...)
}

// exchange asks one nameserver over UDP, and over TCP if the answer is cut.
func (c *client) exchange(ctx context.Context, server, name string, kind dnsmessage.Type) (message, error) {
	edns := true
	ask := func(network string) (message, error) {
		q, err := newQuery(name, kind, edns)
		if err != nil {
			return message{}, err
		}
		return c.send(ctx, network, server, q)
	}
	m, err := ask("udp")
	if err == nil && (m.RCode == dnsmessage.RCodeFormatError || m.RCode == dnsmessage.RCodeNotImplemented || m.RCode == rcodeBadVersion) {
		edns = false // a nameserver from before EDNS
		m, err = ask("udp")
	}
	if err == nil && m.Truncated {
		m, err = ask("tcp")
	}
	return m, err
}

// send returns the first message that answers the query. The end of ctx ends
// it at once.
func (c *client) send(ctx context.Context, network, server string, q query) (message, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.try, fmt.Errorf("no answer over %s for %v", network, c.try))
	defer cancel()
	conn, err := c.dial(ctx, network, server)
	if err != nil {
		return message{}, reason(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	stream := network == "tcp"
	if err := writeQuery(conn, q.data, stream); err != nil {
		return message{}, reason(ctx, err)
	}
	for buf := make([]byte, maxMessage); ; {
		data, err := readAnswer(conn, buf, stream)
		if err != nil {
			return message{}, reason(ctx, err)
		}
		m, err := unpack(data)
		if q.answeredBy(m) {
			if err != nil && !m.Truncated { // what is cut may not parse to its end
				return message{}, fmt.Errorf("answer: %w", err)
			}
			return m, nil
		}
		if stream {
			return message{}, errors.New("answers something else than was asked")
		}
		// Over UDP anybody may send anything: wait on for the answer.
	}
}

// reason prefers the reason of the end of ctx to what it did to a call.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
