package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// BenchmarkServerChanges is what changes of servers cost that HAProxy is told
// over its socket: no reload, whatever their number.
func BenchmarkServerChanges(b *testing.B) {
	s := newStack(b, newZooKeeper(b), 0, 100)
	s.configure(true, s.startHAProxy(), nil)
	s.start()
	s.awaitLoaded()
	<-time.After(3 * time.Second) // the reloads of the start are over
	for range b.N {
		before := s.reloads()
		c := newChanging(s)
		for range 60 {
			c.change(c.inHAProxy)
		}
		note(b, "reloads", "60 changes of servers, one after the other", atMost(0, "none"), val("reloads", float64(s.reloads()-before), ""))

		before = s.reloads()
		began := time.Now()
		be := service.Backend{Name: "late", Host: "10.240.0.1", Port: 9000}
		var undo []func()
		var all sync.WaitGroup
		removes := make(chan func(), len(s.paths))
		for _, p := range s.paths {
			all.Go(func() { removes <- s.reg.add(p, be) })
		}
		all.Wait()
		for i := range s.paths {
			undo = append(undo, <-removes)
			s.until("the burst", func() bool { return s.serves(i, be) })
		}
		note(b, "reloads", "100 services change at once", atMost(0, "none"), val("reloads", float64(s.reloads()-before), ""),
			val("all in HAProxy after", time.Since(began).Seconds()*1000, "ms"))
		for _, f := range undo {
			f()
		}

		before = s.reloads()
		began = time.Now()
		s.reg.fill([]string{s.paths[0]}, func(int) []service.Backend { return backends(1, 200, 250) })
		for k := 1; k < 4; k++ {
			s.reg.fill([]string{s.paths[0]}, func(int) []service.Backend { return backends(1, 200+k, 250) })
		}
		s.until("1,000 servers", func() bool { return len(s.running(0)) >= 1000 })
		note(b, "reloads", "1,000 servers added to one backend", atMost(0, "none"), val("reloads", float64(s.reloads()-before), ""),
			val("registering included", time.Since(began).Seconds()*1000, "ms"))
	}
}

// until asks again and again.
func (s *stack) until(what string, so func() bool) {
	s.b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); <-tick.C {
		if so() {
			return
		}
	}
	s.b.Fatalf("no sign of %s; synapse says:\n%s", what, s.synapse.Log())
}

// traffic is strict clients: whatever is not the whole expected answer is a
// failure, and nothing is tried a second time.
type traffic struct {
	address      string
	interval     time.Duration // of each client's requests; 0 = one after the other
	sent, failed atomic.Int64
	first        atomic.Pointer[error]
	stop         chan struct{}
	group        sync.WaitGroup
}

// startTraffic sends requests over clients of each kind: on a new connection
// for each request, and on one that is kept.
func startTraffic(address string, clients int) *traffic { return startPaced(address, clients, 0) }

// startPaced is startTraffic with clients that wait for their next turn.
func startPaced(address string, clients int, interval time.Duration) *traffic {
	t := &traffic{address: address, interval: interval, stop: make(chan struct{})}
	for range clients {
		t.group.Go(func() { t.client(false) })
		t.group.Go(func() { t.client(true) })
	}
	return t
}

// turns returns what waits for a client's next turn, and is false at the end.
func (t *traffic) turns() (turn func() bool, end func()) {
	always := make(chan time.Time)
	close(always)
	var next <-chan time.Time = always
	end = func() {}
	if t.interval > 0 {
		tick := time.NewTicker(t.interval)
		next, end = tick.C, tick.Stop
	}
	return func() bool {
		select {
		case <-t.stop:
			return false
		default:
		}
		select {
		case <-t.stop:
			return false
		case <-next:
			return true
		}
	}, end
}

func (t *traffic) client(keep bool) {
	var c net.Conn
	var r *bufio.Reader
	turn, end := t.turns()
	defer end()
	for turn() {
		var err error
		if c == nil {
			if c, err = net.DialTimeout("tcp", t.address, 10*time.Second); err == nil {
				r = bufio.NewReader(c)
			}
		}
		var closing bool
		if err == nil {
			closing, err = exchange(c, r, keep)
		}
		t.sent.Add(1)
		if err != nil {
			t.failed.Add(1)
			t.first.CompareAndSwap(nil, &err)
		}
		if c != nil && (err != nil || closing || !keep) {
			_ = c.(*net.TCPConn).SetLinger(0) // no port is worn out
			c.Close()
			c = nil
		}
	}
	if c != nil {
		c.Close()
	}
}

// exchange makes one request. closing tells that the server has announced the
// end of the connection.
func exchange(c net.Conn, r *bufio.Reader, keep bool) (closing bool, err error) {
	request := "GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
	if !keep {
		request = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(body) != "OK\n") {
		err = fmt.Errorf("status %d: %q", resp.StatusCode, body)
	}
	return resp.Close, err
}

// end is finish for what must not fail.
func (t *traffic) end(b *testing.B, name string, atLeast int64, more ...value) {
	b.Helper()
	t.finish(b, "traffic", name, atMost(0, "none"), atLeast, more...)
	if n := t.failed.Load(); n > 0 {
		b.Errorf("%s: %d requests failed", name, n)
	}
}

// await waits until so many requests were sent, but not for ever.
func (t *traffic) await(atLeast int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Minute); t.sent.Load() < atLeast && time.Now().Before(end); <-tick.C {
	}
}

// finish waits until so many requests were sent, stops, and notes the failures.
func (t *traffic) finish(b *testing.B, table, name string, limit *bound, atLeast int64, more ...value) {
	b.Helper()
	t.await(atLeast)
	close(t.stop)
	t.group.Wait()
	note(b, table, name, limit, append([]value{
		val("failed", float64(t.failed.Load()), ""), val("of", float64(t.sent.Load()), "requests"),
	}, more...)...)
	if err := t.first.Load(); err != nil {
		b.Logf("%s: %d of %d requests failed, the first: %v", name, t.failed.Load(), t.sent.Load(), *err)
	}
}

// enough is how many requests each case sends at least.
const enough = 100_000

// BenchmarkTraffic counts the requests that fail while synapse works: none may.
func BenchmarkTraffic(b *testing.B) {
	reg := newZooKeeper(b)
	ports := healthy(b, 20)
	s := newStack(b, reg, 0, 0)
	s.paths = []string{"/traffic/web"}
	live := func(i int) service.Backend {
		return service.Backend{Name: fmt.Sprintf("i-%d", i), Host: "127.0.0.1", Port: ports[i]}
	}
	reg.fill(s.paths, func(int) []service.Backend {
		var list []service.Backend
		for i := range 10 {
			list = append(list, live(i))
		}
		return list
	})
	s.configure(true, s.startHAProxy(), object{"restart_interval": 0.1})
	s.start()
	s.awaitLoaded()
	<-time.After(3 * time.Second)
	address := fmt.Sprintf("127.77.%d.1:10000", s.fleet)
	for range b.N {
		t, before := startTraffic(address, 2), s.reloads()
		var remove [20]func()
		for i := range 200 { // servers that answer come and go
			k := 10 + i%10
			if remove[k] == nil {
				remove[k] = reg.add(s.paths[0], live(k))
				s.until("a new server", func() bool { return s.serves(0, live(k)) })
			} else {
				remove[k]()
				remove[k] = nil
				s.until("a server's end", func() bool { return !s.serves(0, live(k)) })
			}
			<-time.After(20 * time.Millisecond)
		}
		t.end(b, "200 changes of servers over the socket", enough, val("reloads", float64(s.reloads()-before), ""))

		t, before = startTraffic(address, 2), s.reloads()
		tick := time.NewTicker(time.Second)
		for i := range 20 { // an option that only a reload brings to HAProxy
			<-tick.C
			s.configure(true, s.reload(), object{"restart_interval": 0.1, "defaults": append(defaults(), fmt.Sprintf("timeout queue %ds", i+1))})
			s.synapse.Signal(syscall.SIGHUP)
			s.until("a reload", func() bool { return s.reloads()-before > i })
		}
		tick.Stop()
		t.end(b, "20 reloads of HAProxy in 20 s", enough, val("reloads", float64(s.reloads()-before), ""))
		s.awaitLoaded()
		drained(b, s, reg, address)
	}
}

// drained stops servers that have left the registry, as soon as HAProxy has let
// them go: nobody may notice.
func drained(b *testing.B, s *stack, reg registry, address string) {
	b.Helper()
	t := startTraffic(address, 2)
	for i := range 10 {
		port, proc := mortal(b)
		be := service.Backend{Name: fmt.Sprintf("m-%d", i), Host: "127.0.0.1", Port: port}
		remove := reg.add(s.paths[0], be)
		s.until("a new server", func() bool { return s.serves(0, be) })
		<-time.After(100 * time.Millisecond)
		remove()
		s.until("a server's deletion", func() bool { return !s.has(0, be) })
		if err := proc.Kill(); err != nil {
			b.Fatal(err)
		}
	}
	t.end(b, "10 servers leave, and stop when they are drained", enough)
}
