// Package dnstest is a nameserver for tests, on real UDP and TCP sockets.
//
//	ns := dnstest.Start(t)
//	ns.Set("db.example.com. 5 IN A 10.0.0.1")
//	ns.Fail(dns.RcodeServerFailure)
//	ns.Heal()
package dnstest

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server is a nameserver that is authoritative for everything.
type Server struct {
	Addr string // ip:port

	tb     testing.TB
	mu     sync.Mutex
	zone   []dns.RR
	rcode  int
	silent bool
	dead   bool // for Dial
	custom func(query *dns.Msg, tcp bool) *dns.Msg
	asked  map[string]int
}

// New makes an empty nameserver that Dial leads to, and nothing else.
func New(tb testing.TB) *Server { return &Server{tb: tb, asked: map[string]int{}} }

// Start starts an empty nameserver, which ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := New(tb)
	udp, tcp := listen(tb)
	s.Addr = udp.LocalAddr().String()
	serve := func(d *dns.Server, isTCP bool) {
		d.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.answer(w, q, isTCP) })
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = d.ActivateAndServe()
		}()
		<-started
		tb.Cleanup(func() {
			_ = d.Shutdown()
			<-done
		})
	}
	serve(&dns.Server{PacketConn: udp}, false)
	serve(&dns.Server{Listener: tcp}, true)
	return s
}

// listen takes the same port of both protocols.
func listen(tb testing.TB) (net.PacketConn, net.Listener) {
	tb.Helper()
	var err error
	for range 20 {
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return udp, tcp
		}
		tcp.Close()
	}
	tb.Fatal(err)
	return nil, nil
}

// Set makes these records, in the form of a zone file, all that there is.
func (s *Server) Set(records ...string) {
	s.tb.Helper()
	var zone []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			s.tb.Fatal(err)
		}
		zone = append(zone, rr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = zone
}

// Fail makes every answer one with this code.
func (s *Server) Fail(rcode int) { s.change(func() { s.rcode = rcode }) }

// Silence makes the server read and never answer.
func (s *Server) Silence() { s.change(func() { s.silent = true }) }

// Answer puts f before the zone: what f returns is sent as it is, but nil
// means that the zone answers.
func (s *Server) Answer(f func(query *dns.Msg, tcp bool) *dns.Msg) {
	s.change(func() { s.custom = f })
}

// Heal undoes Fail, Silence, Answer and Die.
func (s *Server) Heal() {
	s.change(func() { s.rcode, s.silent, s.dead, s.custom = dns.RcodeSuccess, false, false, nil })
}

// Asked returns how often a name, in small letters and with its final dot, was
// asked for.
func (s *Server) Asked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func (s *Server) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) answer(w dns.ResponseWriter, query *dns.Msg, tcp bool) {
	if m := s.reply(query, tcp); m != nil {
		_ = w.WriteMsg(m) // who asked may have gone
	}
}

// reply is nil where the server is silent.
func (s *Server) reply(query *dns.Msg, tcp bool) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[strings.ToLower(query.Question[0].Name)]++
	if s.silent {
		return nil
	}
	var m *dns.Msg
	if s.custom != nil {
		m = s.custom(query, tcp)
	}
	if m == nil {
		m = s.fromZone(query)
		size := dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		if !tcp {
			m.Truncate(size)
		}
	}
	return m
}

// fromZone answers with all records of the name at the end of its aliases.
func (s *Server) fromZone(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(query)
	m.Authoritative = true
	if m.Rcode = s.rcode; m.Rcode != dns.RcodeSuccess {
		return m
	}
	name, exists := query.Question[0].Name, false
	for again := true; again; {
		again = false
		for _, rr := range s.zone {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			exists = true
			if rr.Header().Rrtype == query.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			} else if alias, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				name, again = alias.Target, true
				break
			}
		}
	}
	if !exists {
		m.Rcode = dns.RcodeNameError
	}
	if len(m.Answer) == 0 {
		soa, _ := dns.NewRR(fmt.Sprintf("%s 1 IN SOA ns.example.com. root.example.com. 1 1 1 1 1", name))
		m.Ns = append(m.Ns, soa)
	}
	return m
}
