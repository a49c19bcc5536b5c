package dns

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"go.uber.org/goleak"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/service"
	"smartstack/test/servers"
	"smartstack/watchers/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(addr string) Options {
	at := checktest.Target(addr)
	return Options{Host: at.Host, Port: at.Port, Domain: "www.example.com", Record: "A", Transport: "udp", Timeout: 1}
}

func build(t *testing.T, o Options) *Check {
	t.Helper()
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContract(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			ns := dnstest.Start(t)
			ns.Set("www.example.com. 5 IN A 10.0.0.1")
			checktest.Run(t, checktest.Subject{
				New: func(t *testing.T, target checkconn.Target) service.Check {
					return build(t, Options{Host: target.Host, Port: target.Port, Domain: "www.example.com", Record: "A", Transport: transport, Timeout: 1})
				},
				Healthy:   ns.Addr,
				Datagrams: transport == "udp",
			})
		})
	}
}

func TestAnswers(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("www.example.com. 5 IN A 10.0.0.1", "www.example.com. 5 IN A 10.0.0.2", "www.example.com. 5 IN AAAA 2001:db8::1",
		"example.com. 5 IN MX 10 mail.example.com.", "example.com. 5 IN NS ns.example.com.", `example.com. 5 IN TXT "a b" "c"`,
		"example.com. 5 IN SOA ns.example.com. root.example.com. 7 1 1 1 1", "_db._tcp.example.com. 5 IN SRV 1 2 5432 db.example.com.",
		"1.0.0.10.in-addr.arpa. 5 IN PTR www.example.com.", "alias.example.com. 5 IN CNAME www.example.com.")
	for _, tc := range []struct {
		domain, record string
		expect         []string
		want           string // in the reason; empty = healthy
	}{
		{"www.example.com", "A", nil, ""},
		{"WWW.example.com.", "A", []string{"10.0.0.2", "10.0.0.1"}, ""},
		{"www.example.com", "A", []string{"10.0.0.3"}, `A of www.example.com: "10.0.0.3" is not among ["10.0.0.1" "10.0.0.2"]`},
		{"www.example.com", "AAAA", []string{"2001:db8::1"}, ""},
		{"example.com", "MX", []string{"10 mail.example.com."}, ""},
		{"example.com", "NS", []string{"NS.example.com"}, ""},
		{"example.com", "TXT", []string{"a bc"}, ""},
		{"example.com", "SOA", []string{"ns.example.com root.example.com 7"}, ""},
		{"_db._tcp.example.com", "SRV", []string{"1 2 5432 db.example.com"}, ""},
		{"1.0.0.10.in-addr.arpa", "PTR", []string{"www.example.com"}, ""},
		{"alias.example.com", "CNAME", []string{"www.example.com"}, ""},
		{"example.com", "A", nil, "there is no such record"},
		{"none.example.com", "A", nil, "the nameserver answers NameError"},
	} {
		o := options(ns.Addr)
		o.Domain, o.Record, o.Expect = tc.domain, tc.record, tc.expect
		wantEnd(t, build(t, o), tc.want)
	}
	ns.Fail(mdns.RcodeServerFailure)
	wantEnd(t, build(t, options(ns.Addr)), "ServerFailure")
	ns.Fail(mdns.RcodeRefused)
	wantEnd(t, build(t, options(ns.Addr)), "Refused")
}

func wantEnd(t *testing.T, c *Check, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	err := c.Check(ctx)
	if want == "" && err != nil {
		t.Errorf("%s %s: not healthy: %v", c.o.Record, c.o.Domain, err)
	}
	if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s %s: got %v, want %q in it", c.o.Record, c.o.Domain, err, want)
	}
}

// An answer that does not fit into a datagram comes by TCP.
func TestLongAnswers(t *testing.T) {
	ns := dnstest.Start(t)
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("www.example.com. 5 IN A 10.0.1.%d", i))
	}
	ns.Set(records...)
	ns.Answer(func(q *mdns.Msg, tcp bool) *mdns.Msg {
		if tcp {
			return nil // as usual
		}
		a := new(mdns.Msg).SetReply(q)
		a.Truncated = true
		return a
	})
	o := options(ns.Addr)
	o.Expect = []string{"10.0.1.199"}
	wantEnd(t, build(t, o), "")
}

// An answer with another id, or to another question, is not ours.
func TestForeignAnswersAreNotTaken(t *testing.T) {
	ns := dnstest.Start(t)
	for name, change := range map[string]func(*mdns.Msg){
		"id":       func(a *mdns.Msg) { a.Id++ },
		"question": func(a *mdns.Msg) { a.Question[0].Name = "other.example.com." },
		"no reply": func(a *mdns.Msg) { a.Response = false },
	} {
		ns.Answer(func(q *mdns.Msg, _ bool) *mdns.Msg {
			a := new(mdns.Msg).SetReply(q)
			change(a)
			return a
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := build(t, options(ns.Addr)).Check(ctx); err == nil || !strings.Contains(err.Error(), "waiting for the answer") {
			t.Errorf("another %s: %v", name, err)
		}
		cancel()
	}
}

func TestNewRefuses(t *testing.T) {
	for want, edit := range map[string]func(*Options){
		"port":      func(o *Options) { o.Port = 0 },
		"timeout":   func(o *Options) { o.Timeout = 0 },
		"transport": func(o *Options) { o.Transport = "http" },
		"record":    func(o *Options) { o.Record = "a" },
		"domain":    func(o *Options) { o.Domain = strings.Repeat("x", 64) + ".com" },
	} {
		o := options("127.0.0.1:53")
		edit(&o)
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}

// FuzzAnswer is a nameserver that says anything.
func FuzzAnswer(f *testing.F) {
	q := new(mdns.Msg).SetQuestion("www.example.com.", mdns.TypeA)
	q.Id = 7
	a := new(mdns.Msg).SetReply(q)
	if rr, err := mdns.NewRR("www.example.com. 5 IN A 10.0.0.1"); err == nil {
		a.Answer = append(a.Answer, rr)
	}
	seed, err := a.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := build(t, options("127.0.0.1:53"))
		if r, err := c.parse(7, data); err == nil {
			_ = c.judge(r)
		}
	})
}
