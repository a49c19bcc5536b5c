package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/test/consulfake"
	"smartstack/test/ec2fake"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
	"smartstack/watchers/consul"
	"smartstack/watchers/marathon"
)

// fleetOf is a source with services of five backends each.
type fleetOf struct {
	name      string
	discovery func(i int) object
	service   object // further keys of each service
	asked     func() (what string, n int)
	streams   func() int // nil = it has none
	idle      time.Duration
}

// BenchmarkSources is what 1,000 services cost that share a Marathon, an EC2
// filter set or a Consul agent: requests and memory while nothing happens.
func BenchmarkSources(b *testing.B) {
	const services, each = 1000, 5
	sim, fake, agent := marathonsim.Start(b), ec2fake.Start(b), consulfake.Start(b)
	var instances []ec2fake.Instance
	for s := range services {
		app := marathonsim.App{ID: fmt.Sprintf("/s%03d", s), Instances: each}
		var list []consulfake.Instance
		for i := range each {
			host := fmt.Sprintf("10.%d.%d.%d", s/250, s%250, i+1)
			app.Tasks = append(app.Tasks, marathonsim.Task{Host: host, Ports: []int{31000}})
			list = append(list, consulfake.Instance{Node: "n" + host, Address: host, Port: 80, Checks: map[string]string{"web": "passing"}})
			instances = append(instances, ec2fake.Instance{ID: "i-" + host, PrivateIP: host, PrivateDNS: "ip-" + host, Tags: map[string]string{"role": fmt.Sprintf("s%03d", s), "env": "prod"}})
		}
		sim.Set(app)
		agent.Set(fmt.Sprintf("s%03d", s), list...)
	}
	fake.Set(instances...)
	for _, f := range []fleetOf{
		{
			name: "Marathon", idle: 30 * time.Second,
			discovery: func(i int) object {
				return object{"method": "marathon", "marathon_api_url": sim.URL, "application_name": fmt.Sprintf("s%03d", i)}
			},
			asked:   func() (string, int) { return "reads", len(sim.Requests()) },
			streams: func() int { n, _ := sim.Streams(); return n },
		},
		{
			name: "EC2 tag", idle: 31 * time.Second, // two polls
			discovery: func(i int) object {
				return object{"method": "ec2tag", "tag_name": "role", "tag_value": fmt.Sprintf("s%03d", i)}
			},
			service: object{"backend_port_override": 80},
			asked:   func() (string, int) { return "calls (pages of 1,000)", len(fake.Calls()) },
		},
		{
			name: "Consul agent", idle: 30 * time.Second,
			discovery: func(i int) object {
				return object{"method": "consul", "hosts": agent.URL, "service": fmt.Sprintf("s%03d", i)}
			},
			asked: func() (string, int) { return "calls", len(agent.Calls()) },
		},
	} {
		f.measure(b, services, each)
	}
}

func (f fleetOf) measure(b *testing.B, services, each int) {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	list := object{}
	for i := range services {
		s := object{"discovery": f.discovery(i), "haproxy": object{"port": 10000 + i}}
		maps.Copy(s, f.service)
		list[fmt.Sprintf("s%03d", i)] = s
	}
	data, err := json.Marshal(object{"services": list, "start_deadline": 60, "haproxy": object{
		"bind_address": "127.77.99.1", "config_file_path": dir + "/haproxy.cfg", "do_socket": false, "reload_command": "true",
	}})
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(dir+"/synapse.json", data, 0o644); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	synapse := servers.Program(b, "synapse", program(b, "synapse"), "-c", dir+"/synapse.json", "--log-format", "text")
	defer synapse.Terminate()
	servers.Eventually(b, func() error {
		text, err := os.ReadFile(dir + "/haproxy.cfg")
		if n := strings.Count(string(text), "\tserver "); err == nil && n != services*each {
			err = fmt.Errorf("%d servers, want %d", n, services*each)
		}
		return err
	})
	start := time.Since(began)
	<-time.After(20 * time.Second) // what a start leaves behind is given back
	_, before := f.asked()
	cpu := used(b, synapse.PID())
	<-time.After(f.idle)
	what, after := f.asked()
	values := []value{
		val("memory", resident(b, synapse.PID()), "MB"), val("CPU", cpu.share(b, synapse.PID()), "% of a core"),
		val(what+fmt.Sprintf(" in %.0f s", f.idle.Seconds()), float64(after-before), ""), val("start", start.Seconds(), "s"),
	}
	if f.streams != nil {
		values = append(values, val("event streams", float64(f.streams()), ""))
	}
	note(b, "sources", fmt.Sprintf("1,000 services × 5 on one %s, in calm", f.name), atMost(60, "60 MB"), values...)
}

// quiet is a log of nothing.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// follow runs a watcher and returns where the port of its only backend is told.
func follow(b *testing.B, w service.Watcher) chan int {
	ctx, cancel := context.WithCancel(b.Context())
	said := make(chan int, 64)
	ended := make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, func(u service.Update) {
			for backend := range u.Backends.All() {
				said <- backend.Port
			}
		})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return said
}

// awaitPort reads until a port is told.
func awaitPort(b *testing.B, said chan int, port int) {
	b.Helper()
	for end := time.After(servers.Deadline); ; {
		select {
		case got := <-said:
			if got == port {
				return
			}
		case <-end:
			b.Fatalf("port %d is not told", port)
		}
	}
}

// latency is the median of one request of a source's own, by itself.
func latency(b *testing.B, address string) float64 {
	b.Helper()
	var took []time.Duration
	for range 200 {
		began := time.Now()
		res, err := http.Get(address)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		took = append(took, time.Since(began))
	}
	return quantile(took, 0.5)
}

// BenchmarkEventToUpdate is the time from a source's event about one of 500
// services to the watcher's word, and what is asked meanwhile.
func BenchmarkEventToUpdate(b *testing.B) {
	const services, changes = 500, 400
	b.Run("Marathon", func(b *testing.B) {
		sim, pool := marathonsim.Start(b), marathonconn.NewPool(quiet())
		set := func(i, port int) {
			sim.Set(marathonsim.App{ID: fmt.Sprintf("/s%03d", i), Instances: 1, Tasks: []marathonsim.Task{{Host: "h", Ports: []int{port}}}})
		}
		said := make([]chan int, services)
		for i := range services {
			set(i, 1)
			o := marathon.Options{
				URL: []string{sim.URL}, App: fmt.Sprintf("s%03d", i), Path: "/v2/apps/%{app}/tasks", Transport: "events", Address: "auto", Health: "any", Unreachable: "keep",
				CheckInterval: config.Seconds(time.Hour), Resync: config.Seconds(time.Hour), ReadDeadline: config.Seconds(time.Hour),
			}
			w, err := marathon.New(o, marathon.Deps{Pool: pool, Log: quiet()})
			if err != nil {
				b.Fatal(err)
			}
			said[i] = follow(b, w)
		}
		for i := range said {
			awaitPort(b, said[i], 1)
		}
		for seen := -1; seen != len(sim.Requests()); <-time.After(500 * time.Millisecond) {
			seen = len(sim.Requests()) // all are read once more when the stream is there
		}
		m := measureChanges(b, changes, services, func() int { return len(sim.Requests()) }, func(i, port int) {
			set(i, port)
			sim.Changed(fmt.Sprintf("/s%03d", i))
		}, said)
		m.note(b, "Marathon's event about one app of 500", latency(b, sim.URL+"/v2/apps/s000?embed=app.tasks"), "reads per event (the second a second later)")
	})
	b.Run("Consul", func(b *testing.B) {
		agent, pool := consulfake.Start(b), consulconn.NewPool(quiet())
		set := func(i, port int) {
			agent.Set(fmt.Sprintf("s%03d", i), consulfake.Instance{Node: "n", Address: "h", Port: port})
		}
		said := make([]chan int, services)
		for i := range services {
			set(i, 1)
			o := consul.Options{
				Hosts: []string{agent.URL}, Service: fmt.Sprintf("s%03d", i), Source: "health", Status: "passing", Address: "auto",
				Wait: config.Seconds(10 * time.Minute), Access: consulconn.Access{MaxConnections: services},
			}
			w, err := consul.New(o, pool, quiet())
			if err != nil {
				b.Fatal(err)
			}
			said[i] = follow(b, w)
		}
		for i := range said {
			awaitPort(b, said[i], 1)
		}
		servers.Eventually(b, func() error {
			if now, _ := agent.Held(); now != services {
				return fmt.Errorf("%d queries wait", now)
			}
			return nil
		})
		m := measureChanges(b, changes, services, func() int { return len(agent.Calls()) }, set, said)
		m.note(b, "Consul's change of one service of 500", latency(b, agent.URL+"/v1/health/service/s000"), "queries per change")
	})
}

// changed is what a number of changes took, and made the watchers ask.
type changed struct {
	took  []time.Duration
	asked float64 // for each change
}

func measureChanges(b *testing.B, n, services int, asked func() int, change func(i, port int), said []chan int) changed {
	b.Helper()
	var m changed
	before := asked()
	for round := range n {
		i, port := round*7%services, 1000+round
		began := time.Now()
		change(i, port)
		awaitPort(b, said[i], port)
		m.took = append(m.took, time.Since(began))
	}
	<-time.After(2 * time.Second)
	m.asked = float64(asked()-before) / float64(n)
	return m
}

func (m changed) note(b *testing.B, name string, own float64, what string) {
	b.Helper()
	median := quantile(m.took, 0.5)
	note(b, "sources", name, atMost(5, "5 ms"), val("beyond the source's own latency: median", max(0, median-own), "ms"),
		val("with it: median", median, "ms"), val("p99", quantile(m.took, 0.99), "ms"), val(what, m.asked, ""))
}

// BenchmarkDescribeInstances is the reading of 5,000 instances, by the
// benchmark of the package that does it.
func BenchmarkDescribeInstances(b *testing.B) {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkDecode5000$", "-benchmem", "smartstack/internal/ec2poll").CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	found := regexp.MustCompile(`([0-9.]+) ns/op\s+([0-9.]+) MB/s\s+([0-9]+) B/op`).FindSubmatch(out)
	if found == nil {
		b.Fatalf("no figure in %s", out)
	}
	number := func(i int) float64 {
		n, err := strconv.ParseFloat(string(found[i]), 64)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	note(b, "sources", "DescribeInstances with 5,000 instances, decoded", atMost(100, "100 ms"),
		val("", number(1)/1e6, "ms"), val("", number(2), "MB/s"), val("memory", number(3)/1e6, "MB"))
}
