// Package dns checks a nameserver: it answers a question without an error, and
// with the records that are expected.
//
//	{"type": "dns", "port": 53, "domain": "www.example.com"}
//	{"type": "dns", "domain": "example.com", "record": "MX", "expect": "10 mail.example.com"}
package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	Host      string         `cfg:"host" doc:"Address of the nameserver; the service's host when absent."`
	Port      int            `cfg:"port" doc:"Port of the nameserver; the service's port when absent."`
	Domain    string         `cfg:"domain,required" doc:"Name to ask for."`
	Record    string         `cfg:"record" default:"A" doc:"Type of record: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT."`
	Expect    []string       `cfg:"expect" doc:"Records that must be in the answer, each as text; at least one of any kind when absent."`
	Transport string         `cfg:"transport" default:"udp" doc:"udp, or tcp; an answer that is too long for udp is fetched by tcp. ssl means tcp."`
	TLS       checkconn.TLS  `cfg:",inline"`
	Timeout   config.Seconds `cfg:"timeout" default:"1" doc:"Time for all of the check, in seconds."`
}

// Check is one DNS check.
type Check struct {
	o      Options
	name   dnsmessage.Name
	kind   dnsmessage.Type
	tcp    *checkconn.Dialer
	dialer net.Dialer
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	tcp, err := checkconn.NewDialer(checkconn.Target{Host: o.Host, Port: o.Port}, o.TLS)
	if err != nil {
		return nil, err
	}
	c := &Check{o: o, tcp: tcp}
	if o.Timeout <= 0 {
		return nil, errors.New("timeout: want more than 0 seconds")
	}
	if o.Transport != "udp" && o.Transport != "tcp" {
		return nil, fmt.Errorf("transport: want udp or tcp, got %q", o.Transport)
	}
	if c.kind, err = kindOf(o.Record); err != nil {
		return nil, err
	}
	c.name, err = dnsmessage.NewName(strings.TrimSuffix(o.Domain, ".") + ".")
	if err == nil {
		_, err = c.question(0) // its labels may be too long
	}
	if err != nil {
		return nil, fmt.Errorf("domain: %q is no name: %w", o.Domain, err)
	}
	return c, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check asks once, and once more by TCP when the answer is too long.
func (c *Check) Check(ctx context.Context) error {
	if c.o.Transport == "udp" && !c.tcp.Secured() {
		long, err := c.datagram(ctx)
		if err != nil || !long {
			return checkconn.Ended(ctx, err)
		}
	}
	return checkconn.Ended(ctx, c.stream(ctx))
}

func (c *Check) question(id uint16) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	err := b.StartQuestions()
	if err == nil {
		err = b.Question(dnsmessage.Question{Name: c.name, Type: c.kind, Class: dnsmessage.ClassINET})
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// datagram asks by UDP; long tells that the answer did not fit.
func (c *Check) datagram(ctx context.Context) (long bool, err error) {
	plain, err := c.dialer.DialContext(ctx, "udp", c.tcp.Address())
	if err != nil {
		return false, fmt.Errorf("cannot connect: %w", err)
	}
	conn := checkconn.Wrap(ctx, plain)
	defer conn.Close()
	id := newID()
	question, err := c.question(id)
	if err == nil {
		_, err = conn.Write(question)
	}
	if err != nil {
		return false, fmt.Errorf("asking: %w", err)
	}
	for answer := make([]byte, 4096); ; {
		n, err := conn.Read(answer)
		if err != nil {
			return false, fmt.Errorf("waiting for the answer: %w", err)
		}
		reply, err := c.parse(id, answer[:n])
		if errors.Is(err, errForeign) {
			continue // late, or from somebody who guesses
		}
		if err == nil && !reply.long {
			err = c.judge(reply)
		}
		return reply.long, err
	}
}

// stream asks by TCP, where a length stands before each message.
func (c *Check) stream(ctx context.Context) error {
	conn, err := c.tcp.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Drop()
	id := newID()
	question, err := c.question(id)
	if err == nil {
		_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(question))), question...))
	}
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return fmt.Errorf("waiting for the answer: %w", err)
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	reply, err := c.parse(id, answer)
	if err != nil {
		return err
	}
	return c.judge(reply)
}

// newID makes it hard to answer before the nameserver does.
func newID() uint16 { return uint16(rand.Uint32()) }

// judge says why an answer is not good enough.
func (c *Check) judge(r reply) error {
	what := c.o.Record + " of " + c.o.Domain
	if r.code != dnsmessage.RCodeSuccess {
		return fmt.Errorf("%s: the nameserver answers %s", what, strings.TrimPrefix(r.code.String(), "RCode"))
	}
	if len(r.records) == 0 {
		return fmt.Errorf("%s: there is no such record", what)
	}
	for _, want := range c.o.Expect {
		same := func(record string) bool { return strings.EqualFold(record, strings.TrimSuffix(want, ".")) }
		if !slices.ContainsFunc(r.records, same) {
			return fmt.Errorf("%s: %q is not among %q", what, want, r.records[:min(len(r.records), 10)])
		}
	}
	return nil
}
