package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// client asks nameservers. It is immutable, and so safe for many goroutines.
type client struct {
	servers  []string // ip:port
	search   *dns.ClientConfig
	try      time.Duration // for one answer of one nameserver
	attempts int           // how often each nameserver is asked
}

// udpSize is the largest answer that is asked for over UDP: what passes every
// network without being broken into pieces.
const udpSize = 1232

// newClient reads resolv.conf if no nameservers are given.
func newClient(servers []string, resolvConf string) (*client, error) {
	c := &client{servers: servers, search: &dns.ClientConfig{}}
	if len(servers) > 0 {
		return c, nil
	}
	conf, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return nil, fmt.Errorf("nameservers: %w", err)
	}
	for _, s := range conf.Servers {
		c.servers = append(c.servers, net.JoinHostPort(s, conf.Port))
	}
	if len(c.servers) == 0 {
		return nil, fmt.Errorf("nameservers: %s names none; set the option nameserver", resolvConf)
	}
	c.search = conf
	return c, nil
}

// lookup asks q of the nameservers, beginning with number first, and returns
// the number of the one that answered.
func (c *client) lookup(ctx context.Context, q question, first int) (answer, int, error) {
	var empty answer
	for i, name := range c.search.NameList(q.name) {
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
func (c *client) resolve(ctx context.Context, name string, kind uint16, first int) (answer, int, error) {
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
func (c *client) ask(ctx context.Context, name string, kind uint16, first int) (answer, int, error) {
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
func (c *client) exchange(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(name, kind)
	query.SetEdns0(udpSize, false)
	m, err := c.send(ctx, "udp", server, query)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeBadVers) {
		query.Extra = nil // a nameserver from before EDNS
		m, err = c.send(ctx, "udp", server, query)
	}
	if err == nil && m.Truncated {
		m, err = c.send(ctx, "tcp", server, query)
	}
	return m, err
}

// send returns the first message that answers the query. The end of ctx ends
// it at once.
func (c *client) send(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.try, fmt.Errorf("no answer over %s for %v", network, c.try))
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, reason(ctx, err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	conn := &dns.Conn{Conn: raw, UDPSize: dns.MaxMsgSize}
	query.Id = dns.Id()
	if err := conn.WriteMsg(query); err != nil {
		return nil, reason(ctx, err)
	}
	for {
		m, err := conn.ReadMsg()
		if m != nil && answers(m, query) {
			if err != nil && !m.Truncated { // what is cut may not parse to its end
				return nil, fmt.Errorf("answer: %w", err)
			}
			return m, nil
		}
		if err != nil && (network == "tcp" || isNet(err)) {
			return nil, reason(ctx, err)
		}
		// Over UDP anybody may send anything: wait on for the answer.
	}
}

// isNet tells a failing connection from bytes that are no message.
func isNet(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, net.ErrClosed)
}

// reason prefers the reason of the end of ctx to what it did to a call.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// answers reports whether m answers the query.
func answers(m, query *dns.Msg) bool {
	if m.Id != query.Id || !m.Response || m.Opcode != query.Opcode {
		return false
	}
	if len(m.Question) == 0 { // some refusals repeat nothing
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	got, want := m.Question[0], query.Question[0]
	return strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}
