package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// blackHole is a resolver whose name server does not answer, but for names that
// it knows by heart.
type blackHole struct {
	known atomic.Pointer[map[string]string]
	asked atomic.Int64
}

func (h *blackHole) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	h.asked.Add(1)
	if known := h.known.Load(); known != nil && (*known)[host] != "" {
		return []netip.Addr{netip.MustParseAddr((*known)[host])}, nil
	}
	<-ctx.Done()
	return nil, errors.New("no answer")
}

// Thousands of names that nobody knows hold up neither the file nor HAProxy,
// which asks for one after the other, and with these defaults refuses them.
func TestNamesWithoutAnAddressHoldNothingUp(t *testing.T) {
	b := checked(t, newBed(t, "web"))
	hole := &blackHole{}
	b.lookup = hole.lookup
	b.open()
	var list []service.Backend
	for i := range 3000 {
		list = append(list, service.Backend{Name: "n", Host: fmt.Sprintf("n%d.nowhere.invalid", i), Port: 80})
	}
	list = append(list, service.Backend{Name: "a", Host: "127.0.0.1", Port: 80})
	s := service.Snapshot{Rev: 1, Services: []*service.Service{{Name: "web", Rev: 1, Origin: service.Discovered, Backends: service.SetOf(list...)}}}
	b.apply(s)
	text := b.read()
	if n := strings.Count(text, noAddress); n != 3000 {
		t.Errorf("%d lines with%s; status %+v", n, noAddress, b.out.Status())
	}
	if st := b.out.Status(); st.Written != 1 || len(st.Held) > 0 || len(st.Faults) > 0 {
		t.Errorf("status %+v", st)
	}
	if hole.asked.Load() > lookupsAtOnce {
		t.Errorf("%d look-ups at the same time", hole.asked.Load())
	}
}

// A server whose name has no address is not asked for by HAProxy, and is told
// the address when there is one.
func TestANameGetsItsAddressLater(t *testing.T) {
	st := newStory(t, 2)
	hole := &blackHole{}
	st.lookup = hole.lookup
	st.options.DoSocket = true
	st.members[1].Host = "localhost"
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Written != 1 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	if !strings.Contains(st.read(), " localhost:"+fmt.Sprint(st.members[1].Port)+" id 2 cookie m1_localhost:"+fmt.Sprint(st.members[1].Port)+noAddress) {
		t.Fatalf("the file:\n%s", st.read())
	}
	st.run()
	st.await(0)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Applied != 1 || len(s.Waiting) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	before := st.out.Status().Reloads

	// The name server is back.
	hole.known.Store(&map[string]string{"localhost": "127.0.0.1"})
	m := st.out.memory
	for m.job != nil {
		<-m.job.done
		st.apply(st.now)
	}
	m.runtime.Close() // what was asked before is given up
	m.publisher.hosts.close()
	clear(m.runtime.hosts.found)
	clear(m.publisher.hosts.found)
	m.runtime.procs[0].nextCompare = time.Time{}
	st.await(0, 1)
	m.recheck = time.Time{}.Add(1)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if strings.Contains(st.read(), noAddress) {
			return errors.New("the file says still that the name has no address")
		}
		if m.publisher.target.isDue() {
			return errors.New("HAProxy is said to load the file")
		}
		return nil
	})
	st.await(0, 1)
	if s := st.out.Status(); s.Reloads != before {
		t.Errorf("%d reloads: %v", s.Reloads-before, s.LastReload)
	}
}

// slowDNS is a name server that answers each question with 127.0.0.1, after a
// while.
func slowDNS(t *testing.T, after time.Duration) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		<-time.After(after)
		r := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			r.Answer = append(r.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// Names that do resolve, but slowly, are not left to HAProxy: one after the other
// they would take longer than a check or a reload may. The name server here
// knows names that HAProxy's own does not, so that it cannot have asked.
func TestSlowNamesAreNotLeftToHAProxy(t *testing.T) {
	const names, each = 40, 50 * time.Millisecond // 2 s in all
	st := newStory(t, 1)
	resolver := slowDNS(t, each)
	st.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
		return resolver.LookupNetIP(ctx, "ip4", host)
	}
	st.options.DoSocket = true
	var numbers []int
	for i := range names {
		m := st.members[0]
		m.Name, m.Host = fmt.Sprint("n", i), fmt.Sprintf("n%d.slow.invalid", i)
		st.members = append(st.members, m)
		numbers = append(numbers, i+1)
	}
	st.open()
	st.want(numbers...)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Written != 1 || len(s.Held) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		if n := strings.Count(st.read(), " init-addr last,127.0.0.1\n"); n != names {
			return fmt.Errorf("%d lines have an address", n)
		}
		return nil
	})
	st.run()
	if body, err := st.get(); err != nil || body != "0" {
		t.Errorf("%q %v", body, err)
	}
	if n, err := inRotation(t, st.options.SocketFilePath[0]); err != nil || n != names {
		t.Errorf("%d in rotation, %v", n, err)
	}
}

// Names that are gone do not stay in memory for ever, however many have come.
func TestNamesThatAreGoneAreForgotten(t *testing.T) {
	h := hostCache{patience: servers.Deadline, lookup: func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
	}}
	defer h.close()
	var names []string
	for i := range manyNames + 1 {
		names = append(names, fmt.Sprint("n", i))
	}
	now := time.Unix(1000, 0)
	if got := h.resolve(t.Context(), names, now); len(got) != len(names) {
		t.Fatalf("%d names have an address", len(got))
	}
	if got := h.resolve(t.Context(), names[:1], now.Add(2*nameTTL)); len(got) != 1 || len(h.found) != 1 {
		t.Errorf("%d names are kept, %v", len(h.found), got)
	}
}

// A name server that was quick for us may be slow for HAProxy a moment later.
func TestACheckThatWaitsForNames(t *testing.T) {
	b := newBed(t, "web")
	b.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.1")}, nil
	}
	b.open()
	checks := 0
	b.out.check = func(_ context.Context, path string, text []byte) (string, error) {
		checks++
		if !strings.Contains(string(text), " init-addr last,10.0.0.2\n") {
			return path, &commandError{Err: fmt.Errorf("it %w", errKilled)}
		}
		return path, nil
	}
	s := service.Snapshot{Rev: 1, Services: []*service.Service{{
		Name: "web", Rev: 1, Origin: service.Discovered, Backends: service.SetOf(service.Backend{Name: "n", Host: "n.example.com", Port: 80}),
	}}}
	b.apply(s)
	if st := b.out.Status(); st.Written != 1 || len(st.Faults) > 0 || checks != 2 {
		t.Errorf("%d checks, status %+v", checks, st)
	}
	if err := shellCommand(t.Context(), "sleep 1000", nil, time.Millisecond); !errors.Is(err, errKilled) {
		t.Errorf("error %v", err)
	}
}
