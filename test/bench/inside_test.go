package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"smartstack/internal/telemetry"
	"smartstack/test/servers"
)

// look is one who looks into a program.
type look struct {
	b      *testing.B
	base   string
	client http.Client
}

// ask returns how long the answer to one question took.
func (l *look) ask(path string) time.Duration {
	l.b.Helper()
	began := time.Now()
	req, err := http.NewRequestWithContext(l.b.Context(), http.MethodGet, l.base+path, http.NoBody)
	if err != nil {
		l.b.Fatal(err)
	}
	res, err := l.client.Do(req)
	if err != nil {
		l.b.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || res.StatusCode != http.StatusOK || n == 0 {
		l.b.Fatalf("%s: %s, %d bytes, %v", path, res.Status, n, err)
	}
	return time.Since(began)
}

// BenchmarkLookingIn is how long those wait who look into a synapse with 1,000
// services × 10 backends in HAProxy.
func BenchmarkLookingIn(b *testing.B) {
	s := newStack(b, newZooKeeper(b), 0, 1000)
	address := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(b))
	s.top = object{"control": object{"socket": "none", "listen": address}}
	s.configure(true, s.startHAProxy(), nil)
	s.start()
	s.awaitLoaded()
	<-time.After(2 * time.Second)
	l := &look{b: b, base: "http://" + address}
	const times = 50
	for range b.N {
		for _, q := range []struct {
			path  string
			bound *bound
		}{
			{"/metrics", atMost(50, "50 ms")},
			{"/status", atMost(20, "20 ms")},
			{"/status?backends", nil},
			{"/explain?service=s500", nil},
			{"/metrics/haproxy", nil},
		} {
			var took []time.Duration
			before := used(b, s.synapse.PID())
			for range times {
				took = append(took, l.ask(q.path))
			}
			note(b, "inside", "GET "+q.path+", 1000 × 10", q.bound,
				val("median", quantile(took, 0.5), "ms"), val("longest", quantile(took, 1), "ms"),
				val("synapse's CPU", float64((used(b, s.synapse.PID()).cpu-before.cpu).Milliseconds())/times, "ms"))
		}
	}
}

// watch looks into a program as everybody at once, until end is called: a scraper
// of both lists of metrics, a script that asks for the status and one that waits
// for a service, each every second, and a person with the page open, of whose
// kind browsers cannot be had here in numbers: it does as the page's script does.
func (l *look) watch(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				for _, path := range []string{"/metrics", "/metrics/haproxy", "/status", "/explain?service=s500"} {
					l.ask(path)
				}
			}
		}
	})
	touched := make(chan string, 1000)
	all.Go(func() { l.events(ctx, touched) })
	all.Go(func() { l.page(ctx, touched) })
	return func() { cancel(); all.Wait() }
}

// events follows the events, and sends the services that they are about.
func (l *look) events(ctx context.Context, touched chan<- string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+"/events/stream", http.NoBody)
	if err != nil {
		return
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var e telemetry.Event
		if !ok || json.Unmarshal([]byte(data), &e) != nil {
			continue
		}
		var more struct{ Services string }
		_ = json.Unmarshal(e.Fields, &more) // without any: none
		for _, name := range append(strings.Split(more.Services, ", "), e.Service) {
			if name != "" {
				touched <- name
			}
		}
	}
}

// page asks as page.html does: for the services that something has happened to,
// once a second, and for everything every ten seconds.
func (l *look) page(ctx context.Context, touched <-chan string) {
	const path = "/status?backends=short"
	some, everything := time.NewTicker(time.Second), time.NewTicker(10*time.Second)
	defer some.Stop()
	defer everything.Stop()
	names := url.Values{}
	l.ask(path)
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-touched:
			if !slices.Contains(names["service"], name) {
				names.Add("service", name)
			}
		case <-some.C:
			if len(names) > 0 {
				l.ask(path + "&" + names.Encode())
				clear(names)
			}
		case <-everything.C:
			l.ask(path)
		}
	}
}

// BenchmarkEverythingOn compares two synapses with 1,000 services × 10 backends
// each, whose changes alternate: one that nobody can look into, and one that
// sends metrics, is scraped and asked every second, and has its page open.
func BenchmarkEverythingOn(b *testing.B) {
	zk := newZooKeeper(b)
	agent := servers.NewAgent(b)
	address := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(b))
	tops := []object{
		{"control": object{"socket": "none"}, "statsd": object{"port": 0}},
		{"control": object{"socket": "none", "listen": address}, "statsd": object{"host": "127.0.0.1", "port": agent.Port}},
	}
	var all []*changing
	for i, top := range tops {
		s := newStack(b, zk, i, 1000)
		s.top = top
		s.configure(true, s.startHAProxy(), nil)
		s.start()
		s.awaitLoaded()
		all = append(all, newChanging(s))
	}
	l := &look{b: b, base: "http://" + address}
	defer l.watch(b.Context())()
	for range b.N {
		before := []usage{used(b, all[0].synapse.PID()), used(b, all[1].synapse.PID())}
		tick := time.NewTicker(60 * time.Millisecond)
		for i := range 401 * len(all) {
			<-tick.C
			c := all[i%len(all)]
			if c.remove == nil { // each time in another service
				c.svc = (c.svc + 37) % len(c.paths)
			}
			c.change(c.inHAProxy)
			if i < len(all) {
				c.times = latencies{}
			}
		}
		tick.Stop()
		off, on := all[0], all[1]
		note(b, "inside", "change to HAProxy, everything on against off", atMost(1.05, "1.05 ×"),
			val("", quantile(on.times.acked, 0.5)/quantile(off.times.acked, 0.5), "×"),
			val("on: median", quantile(on.times.acked, 0.5), "ms"), val("off: median", quantile(off.times.acked, 0.5), "ms"))
		mOff, mOn := resident(b, off.synapse.PID()), resident(b, on.synapse.PID())
		note(b, "inside", "memory, everything on against off", atMost(1.05, "1.05 ×"),
			val("", mOn/mOff, "×"), val("on", mOn, "MB"), val("off", mOff, "MB"))
		note(b, "inside", "CPU, everything on against off", nil,
			val("on", before[1].share(b, on.synapse.PID()), "% of a core"), val("off", before[0].share(b, off.synapse.PID()), "%"))
		off.times, on.times = latencies{}, latencies{}
	}
}
