package watchers

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/pipenet"
	"smartstack/watchers/dnstest"
	"smartstack/watchers/watchertest"
)

// registry is a source in memory, which may be away.
type registry struct {
	holds   atomic.Pointer[service.Update] // nil = it is away
	changed chan struct{}
}

func newRegistry(hosts ...string) *registry {
	r := &registry{changed: make(chan struct{}, 1)}
	r.set(hosts...)
	return r
}

func (r *registry) set(hosts ...string) {
	u := of(hosts...)
	r.holds.Store(&u)
	r.wake()
}

func (r *registry) away() {
	r.holds.Store(nil)
	r.wake()
}

func (r *registry) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *registry) Run(ctx context.Context, publish func(service.Update)) error {
	for {
		u := r.holds.Load()
		if u == nil {
			return errAway
		}
		publish(*u)
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		}
	}
}

// All sources of a multi, and the file of its toggle, are away for ten minutes
// of simulated time: nothing is said of fewer backends, the fault is told, and
// what comes later is followed.
func TestTenMinutesWithoutTheSources(t *testing.T) {
	order := []string{primary, "other"}
	for name, c := range map[string]struct {
		resolver     resolver
		other, later []string
	}{
		"union":       {union{}, []string{"o1"}, []string{"o1", "o2"}},
		"prefer":      {prefer{order: order}, []string{"o1"}, []string{"o1", "o2"}},
		"sequential":  {&sequential{order: []string{"other", primary}}, []string{"o1", "o2"}, []string{"o1", "o2", "o3"}},
		"fallback":    {&sequential{order: primaryFirst(order)}, []string{"o1", "o2"}, []string{"o1", "o2", "o3"}},
		"s3_toggle":   {&toggle{current: primary}, []string{"o1", "o2"}, []string{"o1", "o2", "o3"}},
		"none picked": {&toggle{current: primary}, []string{"o1", "o2"}, []string{"o1", "o2", "o3"}}, // the file was never read
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, picked := []string{"p1"}, primary
				switch name {
				case "fallback":
					first = nil // the other one serves
				case "s3_toggle":
					first, picked = []string{"p1", "p2"}, "other"
				case "none picked":
					first, picked = []string{"p1", "p2"}, ""
				}
				one, two := newRegistry(first...), newRegistry(c.other...)
				m := &multi{log: quiet(), resolver: c.resolver, sources: []*source{
					{child: child{name: primary}, watcher: one}, {child: child{name: "other"}, watcher: two},
				}}
				var file atomic.Value
				file.Store(picked)
				if strings.HasPrefix(name, "s3") || picked == "" {
					toggles := NewToggles(quiet(), nil)
					toggles.open = func() readObject {
						return func(context.Context, string, string) ([]byte, error) {
							if p, _ := file.Load().(string); p != "" {
								return []byte(p + ": 1"), nil
							}
							return nil, errors.New("gone")
						}
					}
					m.follow = func(slot *pickSlot) func() {
						return toggles.follow(object{bucket: "b", key: "k", interval: time.Minute}, slot)
					}
				}
				watchertest.Outage{Watcher: m, Begin: func() {
					one.away()
					two.away()
					file.Store("")
				}, End: func() {
					one.set(first...)
					two.set(c.later...)
					if picked == "" {
						one.set("p1", "p2", "p3")
					}
					file.Store(picked)
				}}.Run(t)
			})
		})
	}
}

// ZooKeeper is away for ten minutes of simulated time, alone or together with
// the nameserver.
func TestTenMinutesWithoutZooKeeperOrDNS(t *testing.T) {
	z, outside := newZKNames(t), pipenet.NewOutside(t)
	two := []service.Backend{{Name: "a", Host: "a.example.com", Port: 1}, {Name: "b", Host: "b.example.com", Port: 1}}
	z.ns.Set("a.example.com. 5 IN A 10.0.0.1", "b.example.com. 5 IN A 10.0.0.2", "c.example.com. 5 IN A 10.0.0.3")
	for _, method := range []string{"zookeeper_dns", "zookeeper_dns_poll"} {
		for name, ill := range map[string]func(*dnstest.Server){
			"ZooKeeper": func(*dnstest.Server) {},
			"both":      func(ns *dnstest.Server) { ns.Fail(mdns.RcodeServerFailure) },
		} {
			t.Run(method+" without "+name, func(t *testing.T) {
				z.set(two...)
				synctest.Test(t, func(t *testing.T) {
					relay := pipenet.NewRelay(z.zk.Addr)
					defer relay.Close()
					deps := testDeps()
					deps.ZK = zkconn.NewPoolOver(quiet(), relay.Dial)
					r := &config.Report{Strict: true}
					w := New(parse(t, `{"method": "`+method+`", "hosts": "`+z.zk.Addr+`", "path": "/web", "nameserver": "`+z.ns.Addr+`"}`), deps, r)
					if err := r.Err(); err != nil {
						t.Fatal(err)
					}
					watchertest.Outage{Watcher: w, Begin: func() { relay.Die(); ill(z.ns) }, End: func() {
						outside.Do(func() { z.set(append(two, service.Backend{Name: "c", Host: "c.example.com", Port: 1})...) })
						z.ns.Heal()
						relay.Heal()
					}}.Run(t)
				})
			})
		}
	}
}
