package dns

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"smartstack/internal/config"
	"smartstack/watchers/dnstest"
	"smartstack/watchers/watchertest"
)

// The nameserver dies, stalls or lies for ten minutes of simulated time, many
// times the TTL: nothing is said of fewer backends, the fault is told, and what
// comes later is followed.
func TestTenMinutesWithoutDNS(t *testing.T) {
	code := func(rcode int) func(*dnstest.Server) { return func(ns *dnstest.Server) { ns.Fail(rcode) } }
	for name, ill := range map[string]func(*dnstest.Server){
		"dead": (*dnstest.Server).Die, "silent": (*dnstest.Server).Silence,
		"SERVFAIL": code(dns.RcodeServerFailure), "REFUSED": code(dns.RcodeRefused),
		"cut": func(ns *dnstest.Server) {
			ns.Answer(func(query *dns.Msg, _ bool) *dns.Msg {
				m := new(dns.Msg).SetReply(query)
				m.Truncated = true
				return m
			})
		},
		"another question": func(ns *dnstest.Server) {
			ns.Answer(func(*dns.Msg, bool) *dns.Msg {
				return new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("other.example.com.", dns.TypeA))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ns := dnstest.New(t)
				ns.Set("web.example.com. 5 IN A 10.0.0.1", "web.example.com. 5 IN A 10.0.0.2")
				w, err := New(Options{
					List:   list("web.example.com:80"),
					Lookup: Lookup{Nameservers: []string{"192.0.2.53"}, CheckInterval: config.Seconds(30 * time.Second)},
				}, 0, quiet())
				if err != nil {
					t.Fatal(err)
				}
				w.follower.dial = ns.Dial
				before := 0
				watchertest.Outage{Watcher: w, Begin: func() { ill(ns); before = ns.Asked("web.example.com.") }, End: func() {
					if n := ns.Asked("web.example.com.") - before; n > 1000 {
						t.Errorf("%d questions in ten minutes", n)
					}
					ns.Set("web.example.com. 5 IN A 10.0.0.1", "web.example.com. 5 IN A 10.0.0.2", "web.example.com. 5 IN A 10.0.0.3")
					ns.Heal()
				}}.Run(t)
			})
		})
	}
}
