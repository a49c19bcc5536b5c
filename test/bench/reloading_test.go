package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// compared is how many requests each case sends that is only there to compare.
const compared = 20_000

// plain is a HAProxy with a file of its own, without synapse.
type plain struct {
	b       *testing.B
	dir     string
	address string
	latest  *exec.Cmd
	all     []*exec.Cmd
}

func newPlain(b *testing.B) *plain {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		b.Fatal(err)
	}
	p := &plain{b: b, dir: dir, address: fmt.Sprintf("127.0.0.1:%d", servers.FreePort(b))}
	b.Cleanup(func() {
		for _, c := range p.all {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		_ = os.RemoveAll(dir)
	})
	return p
}

func (p *plain) path(name string) string { return filepath.Join(p.dir, name) }

// write writes the file. options are words of each server line.
func (p *plain) write(defaults []string, options string, ports []int) {
	p.b.Helper()
	text := "global\n\tstats socket " + p.path("s") + " level admin expose-fd listeners\n\thard-stop-after 60s\n" +
		"defaults\n\t" + strings.Join(defaults, "\n\t") + "\nlisten web\n\tbind " + p.address + "\n"
	for i, port := range ports {
		text += fmt.Sprintf("\tserver s%d 127.0.0.1:%d %s\n", i, port, options)
	}
	if err := os.WriteFile(p.path("cfg"), []byte(text), 0o644); err != nil {
		p.b.Fatal(err)
	}
}

// start starts one more process, and returns when it is the one that serves.
func (p *plain) start(args ...string) {
	p.b.Helper()
	cmd := exec.Command(servers.HAProxyBin(p.b), append([]string{"-db", "-f", p.path("cfg")}, args...)...)
	if err := cmd.Start(); err != nil {
		p.b.Fatal(err)
	}
	p.all, p.latest = append(p.all, cmd), cmd
	servers.Eventually(p.b, func() error {
		info, err := p.info()
		if err == nil && info.PID != cmd.Process.Pid {
			err = errors.New("the old process answers still")
		}
		return err
	})
}

func (p *plain) info() (socket.Info, error) {
	c := socket.New(p.path("s"))
	defer c.Close()
	replies, err := c.Do(p.b.Context(), []string{"show info"})
	if err != nil {
		return socket.Info{}, err
	}
	return socket.ParseInfo(replies[0])
}

// left counts the old processes that have not ended.
func (p *plain) left() (n int) {
	for _, c := range p.all {
		if c != p.latest && c.ProcessState == nil && syscall.Kill(c.Process.Pid, 0) == nil {
			if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.Process.Pid)); err == nil && !strings.Contains(string(state), ") Z ") {
				n++
			}
		}
	}
	return n
}

// BenchmarkWaysToReload compares the ways in which HAProxy takes a new file,
// under strict clients: 20 times each.
func BenchmarkWaysToReload(b *testing.B) {
	ports := healthy(b, 3)
	for range b.N {
		for _, way := range []struct {
			name string
			args func(p *plain) []string
		}{
			{"a new process ends the old one (-sf)", func(p *plain) []string { return []string{"-sf", fmt.Sprint(p.latest.Process.Pid)} }},
			{"the same, and takes its sockets over (-x)", func(p *plain) []string {
				return []string{"-x", p.path("s"), "-sf", fmt.Sprint(p.latest.Process.Pid)}
			}},
		} {
			p := newPlain(b)
			p.write(defaults(), "", ports)
			p.start()
			t := startTraffic(p.address, 2)
			for range 20 {
				<-time.After(200 * time.Millisecond)
				p.start(way.args(p)...)
			}
			left := p.left()
			t.finish(b, "reloading", way.name, nil, compared, val("old processes at the end", float64(left), ""))
		}
		p := newPlain(b)
		p.write(defaults(), "", ports)
		proc := servers.HAProxy(b, p.path("cfg"), p.path("s"))
		t := startTraffic(p.address, 2)
		for range 20 {
			<-time.After(200 * time.Millisecond)
			before, _ := p.info()
			servers.AwaitMaster(proc)
			proc.Signal(syscall.SIGUSR2)
			servers.Eventually(b, func() error {
				now, err := p.info()
				if err == nil && now.PID == before.PID {
					err = errors.New("the old worker answers still")
				}
				return err
			})
		}
		t.finish(b, "reloading", "the master starts a new worker (-W, SIGUSR2)", atMost(0, "none"), enough)
	}
}

// BenchmarkDeadServer compares stanzas by what it costs that one of three
// servers is killed: every request may be sent a second time.
func BenchmarkDeadServer(b *testing.B) {
	base := []string{"mode http", "timeout connect 1s", "timeout client 10s", "timeout server 10s", "timeout check 1s", "option idle-close-on-response"}
	add := func(more ...string) []string { return append(append([]string(nil), base...), more...) }
	retry := "retry-on conn-failure empty-response response-timeout"
	const check = "check inter 500ms rise 2 fall 2"
	for range b.N {
		for _, v := range []struct {
			name, options string
			defaults      []string
			limit         *bound
		}{
			{"without a check, retries 3", "", add("retries 3"), nil},
			{"retries 3, redispatch at the last", check, add("retries 3", "option redispatch"), nil},
			{"retries 3, redispatch at each", check, add("retries 3", "option redispatch 1"), nil},
			{"that and retry-on: our defaults", check, add("retries 3", "option redispatch 1", retry), atMost(0, "none")},
			{"our defaults, on-marked-down shutdown-sessions", check + " on-marked-down shutdown-sessions", add("retries 3", "option redispatch 1", retry), nil},
			{"our defaults, observe layer4 mark-down", check + " observe layer4 error-limit 5 on-error mark-down", add("retries 3", "option redispatch 1", retry), nil},
		} {
			p := newPlain(b)
			var ports []int
			var last *os.Process
			for range 3 {
				port, proc := mortal(b)
				ports, last = append(ports, port), proc
			}
			p.write(v.defaults, v.options, ports)
			p.start()
			t := startTraffic(p.address, 2)
			<-time.After(500 * time.Millisecond)
			_ = last.Kill()
			requests := int64(compared)
			if v.limit != nil {
				requests = enough
			}
			t.finish(b, "stanzas", v.name, v.limit, requests)
		}
	}
}

// mortal is a server in a process of its own.
func mortal(b *testing.B) (int, *os.Process) {
	b.Helper()
	before := len(started)
	ports := healthy(b, 1)
	return ports[0], started[before].Process
}

// BenchmarkFirstRequest is the time from a write to the registry that is
// acknowledged to the first request that a new server gets, and to the last one
// of a server that is taken away, while 500 requests a second flow.
func BenchmarkFirstRequest(b *testing.B) {
	for i, reg := range eachRegistry(b) {
		s := newStack(b, reg, 70+i, 0)
		s.paths = []string{fmt.Sprintf("/first%d/web", i)}
		ports := healthy(b, 10)
		var at atomic.Int64 // when the newcomer was asked last, and first
		var first atomic.Int64
		newcomer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			now := time.Now().UnixNano()
			first.CompareAndSwap(0, now)
			at.Store(now)
			fmt.Fprintln(w, "OK")
		}))
		defer newcomer.Close()
		reg.fill(s.paths, func(int) []service.Backend {
			var list []service.Backend
			for k, port := range ports {
				list = append(list, service.Backend{Name: fmt.Sprintf("i-%d", k), Host: "127.0.0.1", Port: port, ServerOptions: "weight 1"})
			}
			return list
		})
		s.configure(true, s.startHAProxy(), nil)
		s.start()
		s.awaitLoaded()
		<-time.After(3 * time.Second)
		ctx, stop := context.WithCancel(b.Context())
		go paced(ctx, fmt.Sprintf("127.77.%d.1:10000", s.fleet), 500)
		be := service.Backend{Name: "new", Host: "127.0.0.1", Port: newcomer.Listener.Addr().(*net.TCPAddr).Port, ServerOptions: "weight 100"}
		for range b.N {
			var gain, loss []time.Duration
			for range 60 {
				first.Store(0)
				remove := reg.add(s.paths[0], be)
				acked := time.Now()
				s.until("a request", func() bool { return first.Load() != 0 })
				gain = append(gain, max(0, time.Unix(0, first.Load()).Sub(acked)))
				<-time.After(50 * time.Millisecond)
				remove()
				acked = time.Now()
				<-time.After(150 * time.Millisecond)
				loss = append(loss, max(0, time.Unix(0, at.Load()).Sub(acked)))
			}
			for name, times := range map[string][]time.Duration{"first request of a new server": gain, "last request of a removed one": loss} {
				note(b, "requests", reg.name()+" to the "+name, atMost(10, "10 ms"),
					val("median", quantile(times, 0.5), "ms"), val("p99", quantile(times, 0.99), "ms"))
			}
		}
		stop()
	}
}

// paced sends so many requests a second.
func paced(ctx context.Context, address string, perSecond int) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 50}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			go func() {
				if resp, err := client.Get("http://" + address + "/"); err == nil {
					_ = resp.Body.Close()
				}
			}()
		}
	}
}
