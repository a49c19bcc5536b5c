package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"smartstack/internal/service"
	"smartstack/test/servers"
	"smartstack/watchers/dnstest"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// build makes a watcher that is quick.
func build(t testing.TB, o Options) *Watcher {
	t.Helper()
	w, err := New(o, 0, quiet())
	if err != nil {
		t.Fatal(err)
	}
	f := w.follower
	f.try, f.retry, f.shortest, f.interval = 200*time.Millisecond, 5*time.Millisecond, 10*time.Millisecond, 50*time.Millisecond
	return w
}

func list(hosts ...string) []Server {
	var all []Server
	for _, h := range hosts {
		host, port := splitHost(h)
		all = append(all, Server{Host: host, Port: port})
	}
	return all
}

func TestContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		ns := dnstest.Start(t)
		options := Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, Record: "srv", List: list("web.example.com")}
		var lines []string
		return watchertest.Registry{
			New: func() service.Watcher { return build(t, options) },
			Set: func(backends ...service.Backend) {
				lines = []string{"web.example.com. 0 IN TXT there"}
				for _, b := range backends {
					lines = append(lines,
						fmt.Sprintf("web.example.com. 0 IN SRV 1 0 %d %s.example.com.", b.Port, b.Name),
						fmt.Sprintf("%s.example.com. 0 IN A %s", b.Name, b.Host))
				}
				ns.Set(lines...)
			},
			SetBad: func() {
				ns.Set(append(lines, "web.example.com. 0 IN SRV 1 0 0 zero.example.com.", "zero.example.com. 0 IN A 10.0.0.9")...)
			},
			Break: func() func() {
				ns.Fail(dns.RcodeServerFailure)
				return ns.Heal
			},
			Silent: func() service.Watcher {
				ns.Silence()
				return build(t, options)
			},
			Want: func(b service.Backend) service.Backend {
				b.Name += ".example.com"
				return b
			},
		}
	})
}

// running is one Run whose words can be awaited.
type running struct {
	mu    sync.Mutex
	words []service.Update
	err   chan error
}

func start(t *testing.T, w *Watcher) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{err: make(chan error, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.err <- w.Run(ctx, func(u service.Update) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.words = append(r.words, u)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *running) all() []service.Update {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.words)
}

func (r *running) last() service.Update {
	if all := r.all(); len(all) > 0 {
		return all[len(all)-1]
	}
	return service.Update{}
}

func addresses(u service.Update) []string {
	var all []string
	for b := range u.Backends.All() {
		all = append(all, b.Address())
	}
	return all
}

// want waits until the newest word is exactly these addresses, in this order.
func (r *running) want(t *testing.T, want ...string) {
	t.Helper()
	servers.Eventually(t, func() error {
		if d := cmp.Diff(want, addresses(r.last())); d != "" {
			return errors.New("(-want +got)\n" + d)
		}
		return nil
	})
}

func (r *running) wantError(t *testing.T, text string) {
	t.Helper()
	select {
	case err := <-r.err:
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Run returned %v, want %q in it", err, text)
		}
	case <-time.After(servers.Deadline):
		t.Fatal("Run does not return")
	}
}

func TestAddressesOfBothKindsSortedLiteralsKept(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set(
		"db.example.com. 5 IN CNAME real.example.com.",
		"real.example.com. 5 IN A 10.0.0.10",
		"real.example.com. 5 IN A 10.0.0.9",
		"real.example.com. 5 IN A 0.0.0.0",
		"real.example.com. 5 IN AAAA fd00::1",
		"real.example.com. 5 IN AAAA ::ffff:10.0.0.9",
	)
	r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: []Server{
		{Host: "DB.example.com.", Port: 5432, Name: "db", Labels: `{"az":"a"}`},
		{Host: "192.0.2.1", Port: 1},
		{Host: "2001:db8::1", Port: 2},
	}}))
	r.want(t, "10.0.0.9:5432", "10.0.0.10:5432", "[fd00::1]:5432", "192.0.2.1:1", "[2001:db8::1]:2")
	first := slices.Collect(r.last().Backends.All())[0]
	if d := cmp.Diff(service.Backend{Name: "db", Host: "10.0.0.9", Port: 5432, Labels: `{"az":"a"}`}, first); d != "" {
		t.Error(d)
	}
}

func TestServiceRecords(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set(
		"_web._tcp.example.com. 5 IN SRV 10 1000 8001 a.example.com.",
		"_web._tcp.example.com. 5 IN SRV 10 500 8002 b.example.com.",
		"_web._tcp.example.com. 5 IN SRV 10 0 8003 B.example.com.",
		"_web._tcp.example.com. 5 IN SRV 20 7 8004 c.example.com.",
		"_none._tcp.example.com. 5 IN SRV 0 0 0 .",
		"a.example.com. 5 IN A 10.0.0.1",
		"a.example.com. 5 IN A 10.0.0.2",
		"b.example.com. 5 IN A 10.0.0.3",
		"c.example.com. 5 IN AAAA fd00::4",
	)
	r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, Record: "srv", List: list("_web._tcp.example.com", "_none._tcp.example.com")}))
	r.want(t, "10.0.0.1:8001", "10.0.0.2:8001", "10.0.0.3:8002", "10.0.0.3:8003", "[fd00::4]:8004")
	backend := func(name, host string, port int, weight int64, backup bool) service.Backend {
		return service.Backend{Name: name, Host: host, Port: port, Weight: service.KnownInt(weight), Backup: backup}
	}
	want := []service.Backend{
		backend("a.example.com", "10.0.0.1", 8001, 256, false),
		backend("a.example.com", "10.0.0.2", 8001, 256, false),
		backend("b.example.com", "10.0.0.3", 8002, 128, false),
		backend("b.example.com", "10.0.0.3", 8003, 1, false),
		backend("c.example.com", "fd00::4", 8004, 1, true),
	}
	if d := cmp.Diff(want, slices.Collect(r.last().Backends.All())); d != "" {
		t.Error(d)
	}
	if rej := r.last().Rejected; len(rej) != 1 || rej[0].Entry != "_none._tcp.example.com" {
		t.Errorf("rejected %+v", rej)
	}
}

func TestAnswersLargerThanADatagram(t *testing.T) {
	for _, n := range []int{60, 400, 2000} { // over 512 bytes, over what is asked for, and over a datagram's largest
		ns := dnstest.Start(t)
		var lines []string
		for i := range n {
			lines = append(lines, fmt.Sprintf("big.example.com. 5 IN A 10.0.%d.%d", i/250, i%250+1))
		}
		ns.Set(lines...)
		r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("big.example.com:80")}))
		servers.Eventually(t, func() error {
			if got := r.last().Backends.Len(); got != n {
				return fmt.Errorf("%d backends, want %d", got, n)
			}
			return nil
		})
		if words := r.all(); len(words) != 1 {
			t.Errorf("%d words, want the one that is complete", len(words))
		}
	}
}

func TestCutOverTCPTooIsAFailure(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Answer(func(q *dns.Msg, _ bool) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		m.Truncated = true
		return m
	})
	start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("x.example.com:1")})).wantError(t, "short")
}

func TestFailuresKeepWhatANameGaveBefore(t *testing.T) {
	for name, breakIt := range map[string]func(*dnstest.Server){
		"SERVFAIL": func(s *dnstest.Server) { s.Fail(dns.RcodeServerFailure) },
		"REFUSED":  func(s *dnstest.Server) { s.Fail(dns.RcodeRefused) },
		"silence":  (*dnstest.Server).Silence,
	} {
		t.Run(name, func(t *testing.T) {
			ns := dnstest.Start(t)
			w := build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1", "b.example.com:2")})
			ns.Set("a.example.com. 0 IN A 10.0.0.1", "b.example.com. 0 IN A 10.0.0.2")
			r := start(t, w)
			r.want(t, "10.0.0.1:1", "10.0.0.2:2")
			breakIt(ns)
			r.wantError(t, "a.example.com")
			if n := len(r.all()); n != 1 {
				t.Errorf("%d words, want none after the first", n)
			}
			r = start(t, w) // as its supervisor does
			r.wantError(t, "b.example.com")
			if n := len(r.all()); n != 0 {
				t.Errorf("%d words without a look-up", n)
			}
			ns.Set("a.example.com. 0 IN A 10.0.0.3")
			ns.Heal()
			start(t, w).want(t, "10.0.0.3:1") // b does not exist, honestly
		})
	}
}

// failing answers SERVFAIL to the questions for one name.
func failing(name string) func(*dns.Msg, bool) *dns.Msg {
	return func(q *dns.Msg, _ bool) *dns.Msg {
		if q.Question[0].Name != name {
			return nil
		}
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
}

func TestOneFailingNameKeepsItsBackendsAmongOthers(t *testing.T) {
	ns := dnstest.Start(t)
	w := build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1", "b.example.com:2")})
	ns.Set("a.example.com. 0 IN A 10.0.0.1", "b.example.com. 0 IN A 10.0.0.2")
	r := start(t, w)
	r.want(t, "10.0.0.1:1", "10.0.0.2:2")
	ns.Answer(failing("b.example.com."))
	ns.Set("a.example.com. 0 IN A 10.0.0.3")
	r.want(t, "10.0.0.3:1", "10.0.0.2:2")
	servers.Eventually(t, func() error {
		if c := w.Condition(); len(c.Faults) != 2 || c.Faults[0].Part != "b.example.com A" && c.Faults[0].Part != "b.example.com AAAA" {
			return fmt.Errorf("the failing name is not told: %+v", c)
		}
		return nil
	})
	whileFailing := r.all()
	ns.Heal()
	r.want(t, "10.0.0.3:1")
	for _, u := range whileFailing {
		if u.Backends.Len() != 2 {
			t.Errorf("a word of %v", addresses(u))
		}
	}
}

func TestUnknownNameDoesNotHoldTheOthers(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("a.example.com. 0 IN A 10.0.0.1")
	ns.Answer(failing("b.example.com."))
	r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1", "b.example.com:2")}))
	r.want(t, "10.0.0.1:1")
	rej := r.last().Rejected
	if len(rej) != 1 || rej[0].Entry != "b.example.com" || !strings.Contains(rej[0].Reason, "SERVFAIL") {
		t.Errorf("rejected %+v", rej)
	}
}

func TestEmptinessThatAFailureHasPartInIsNotHonest(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Answer(failing("b.example.com.")) // and a does not exist
	r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1", "b.example.com:2")}))
	r.wantError(t, "b.example.com")
	if len(r.all()) != 0 {
		t.Error("published")
	}
}

func TestServersThatCannotBeLookedUp(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("web.example.com. 0 IN SRV 1 1 80 a.example.com.")
	ns.Answer(failing("a.example.com."))
	r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, Record: "srv", List: list("web.example.com")}))
	r.wantError(t, "SERVFAIL")
	if len(r.all()) != 0 {
		t.Error("published")
	}
}

func TestNextNameserver(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // refuses from now on
	silent, refusing, good := dnstest.Start(t), dnstest.Start(t), dnstest.Start(t)
	silent.Silence()
	refusing.Fail(dns.RcodeRefused)
	good.Set("a.example.com. 0 IN A 10.0.0.1")
	w := build(t, Options{Lookup: Lookup{Nameservers: []string{dead.LocalAddr().String(), silent.Addr, refusing.Addr, good.Addr}}, List: list("a.example.com:1")})
	r := start(t, w)
	r.want(t, "10.0.0.1:1")
	before := good.Asked("a.example.com.")
	servers.Eventually(t, func() error {
		if good.Asked("a.example.com.") < before+8 {
			return errors.New("not asked again")
		}
		return nil
	})
	if n := silent.Asked("a.example.com."); n > 2 {
		t.Errorf("the silent nameserver was asked %d times: the one that answered comes first", n)
	}
}

func TestLyingNameservers(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("a.example.com. 0 IN A 10.0.0.1")
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, c := range map[string]struct {
		lie  func(q, m *dns.Msg)
		want string
	}{
		"records of another name":     {func(_, m *dns.Msg) { m.Answer = []dns.RR{rr("evil.example.com. 5 IN A 10.6.6.6")} }, "has no such records"},
		"a wheel of aliases":          {func(_, m *dns.Msg) { m.Answer = []dns.RR{rr("a.example.com. 5 IN CNAME a.example.com.")} }, "no end"},
		"a referral":                  {func(_, m *dns.Msg) { m.Ns = []dns.RR{rr("example.com. 5 IN NS ns.example.com.")} }, "other nameservers"},
		"an answer to something else": {func(_, m *dns.Msg) { m.Question[0].Name = "evil.example.com." }, "no answer"},
		"another transaction":         {func(_, m *dns.Msg) { m.Id++ }, "no answer"},
		"a query":                     {func(_, m *dns.Msg) { m.Response = false }, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			ns.Answer(func(q *dns.Msg, _ bool) *dns.Msg {
				m := new(dns.Msg).SetReply(q)
				c.lie(q, m)
				return m
			})
			r := start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1")}))
			if c.want == "has no such records" {
				servers.Eventually(t, func() error {
					if rej := r.last().Rejected; len(rej) != 1 || rej[0].Reason != c.want {
						return fmt.Errorf("rejected %+v", rej)
					}
					return nil
				})
				return
			}
			r.wantError(t, c.want)
			if len(r.all()) > 0 {
				t.Error("published")
			}
		})
	}
}

func TestAliasWhoseRecordsAreElsewhere(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("real.example.com. 5 IN A 10.0.0.1")
	ns.Answer(func(q *dns.Msg, _ bool) *dns.Msg {
		if q.Question[0].Name != "a.example.com." {
			return nil
		}
		m := new(dns.Msg).SetReply(q)
		alias, _ := dns.NewRR("a.example.com. 5 IN CNAME real.example.com.")
		m.Answer = []dns.RR{alias}
		return m
	})
	start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1")})).want(t, "10.0.0.1:1")
}

func TestNameserverFromBeforeEDNS(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("a.example.com. 5 IN A 10.0.0.1")
	ns.Answer(func(q *dns.Msg, _ bool) *dns.Msg {
		if q.IsEdns0() == nil {
			return nil
		}
		return new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
	})
	start(t, build(t, Options{Lookup: Lookup{Nameservers: []string{ns.Addr}}, List: list("a.example.com:1")})).want(t, "10.0.0.1:1")
}

func TestResolvConf(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("a.one.example.com. 0 IN A 10.0.0.1", "b.two.example.com. 0 IN A 10.0.0.2")
	host, port, _ := net.SplitHostPort(ns.Addr)
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	w := build(t, Options{List: list("a.one:1", "b:2")})
	w.follower.resolvConf = conf
	start(t, w).wantError(t, "resolv.conf")
	text := "nameserver " + host + "\nsearch one.example.com two.example.com example.com\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := newClient(nil, conf)
	if err != nil || !slices.Equal(c.servers, []string{"127.0.0.1:53"}) {
		t.Fatalf("%v %v", c, err)
	}
	c.servers, c.try, c.attempts = []string{net.JoinHostPort(host, port)}, w.follower.try, 1
	for name, want := range map[string]string{"a.one": "10.0.0.1", "b": "10.0.0.2"} {
		got, _, err := c.lookup(t.Context(), question{name, dnsmessage.TypeA}, 0)
		if err != nil || len(got.records) != 1 || got.records[0].addr.String() != want {
			t.Errorf("%s: %+v %v, want %s", name, got, err, want)
		}
	}
}

// Targets of SRV records, and names with a final dot, are whole: a wildcard in
// the search list gets none of them.
func TestWholeNamesAreNotSearched(t *testing.T) {
	ns := dnstest.Start(t)
	ns.Set("db.example.com. 0 IN A 10.0.0.1", "db.example.com.svc.local. 0 IN A 10.6.6.6",
		"_web._tcp.example.com. 0 IN SRV 1 0 80 web.example.com.",
		"web.example.com. 0 IN A 10.0.0.2", "web.example.com.svc.local. 0 IN A 10.6.6.6")
	host, port, _ := net.SplitHostPort(ns.Addr)
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.1\nsearch svc.local\noptions ndots:5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
	}
	for name, o := range map[string]Options{
		"10.0.0.1:80": {List: list("db.example.com.:80")},
		"10.0.0.2:80": {List: list("_web._tcp.example.com."), Record: "srv"},
		"10.6.6.6:80": {List: list("db.example.com:80")}, // as the system's resolver does
	} {
		w := build(t, o)
		w.follower.resolvConf, w.follower.dial = conf, dial
		start(t, w).want(t, name)
	}
}

func TestServersWithoutPort(t *testing.T) {
	o := Options{List: list("10.0.0.1")}
	r := start(t, build(t, o))
	servers.Eventually(t, func() error {
		if rej := r.last().Rejected; len(rej) != 1 || !strings.Contains(rej[0].Reason, "backend_port_override") {
			return fmt.Errorf("rejected %+v", rej)
		}
		return nil
	})
	w, err := New(o, 8080, quiet())
	if err != nil {
		t.Fatal(err)
	}
	w.follower.servers = []string{"127.0.0.1:1"}
	start(t, w).want(t, "10.0.0.1:8080")
}
