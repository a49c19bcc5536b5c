package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"smartstack/test/consulfake"
	"smartstack/test/ec2fake"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
	"smartstack/watchers/dnstest"
)

// web serves its own name at an address of this host, until the test ends or
// stop is called, which cuts its connections.
func (s *stage) web(address, name string) (stop func()) {
	s.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	s.Cleanup(server.Close)
	return func() { server.CloseClientConnections(); server.Close() }
}

// fleet serves at so many addresses of this host, all on one port.
func (s *stage) fleet(net, n int) (hosts []string, port int) {
	s.Helper()
	port = servers.FreePort(s.T)
	for i := range n {
		hosts = append(hosts, fmt.Sprintf("127.0.%d.%d", net, i+1))
		s.web(hosts[i]+":"+strconv.Itoa(port), hosts[i])
	}
	return hosts, port
}

// A scale-up in Marathon, and another node that becomes the leader, knows no
// health results yet, and is where the old one sends readers.
func TestMarathonScaleUpAndFailover(t *testing.T) {
	leader, next := marathonsim.Start(t), marathonsim.Start(t)
	s := newStage(t, registry{watcher: object{"method": "marathon", "marathon_api_url": []string{leader.URL, next.URL}, "application_name": "shop/web", "check_interval": 1, "resync_interval": 2}})
	hosts, port := s.fleet(31, 3)
	app := func(at *marathonsim.Sim, n int, alive []bool) {
		a := marathonsim.App{ID: "/shop/web", Instances: n, HealthChecks: 1}
		for _, h := range hosts[:n] {
			a.Tasks = append(a.Tasks, marathonsim.Task{Host: h, Ports: []int{port}, Alive: alive})
		}
		at.Set(a)
		at.Changed("/shop/web")
	}
	next.Instead(marathonsim.RedirectTo(leader.URL))
	next.InsteadOfStream(marathonsim.RedirectTo(leader.URL))
	app(leader, 2, []bool{true})
	s.startSynapse()
	s.awaitServing(hosts[:2]...)
	sent, stop := s.traffic()
	s.more(sent, 100)
	app(leader, 3, []bool{true}) // the scale-up
	s.awaitServing(hosts...)
	s.more(sent, 100)

	for _, node := range []*marathonsim.Sim{leader, next} { // nobody leads
		node.Instead(marathonsim.Status(http.StatusBadGateway, "<html>no leader</html>"))
		node.InsteadOfStream(marathonsim.CloseAtOnce)
	}
	leader.CutStreams()
	s.more(sent, 200)
	s.awaitServing(hosts...)
	app(next, 3, nil) // the new leader: every task is there, and no result
	leader.Instead(marathonsim.RedirectTo(next.URL))
	leader.InsteadOfStream(marathonsim.RedirectTo(next.URL))
	next.Instead(nil)
	next.InsteadOfStream(nil)
	before := next.Reads("/shop/web")
	servers.Eventually(t, func() error {
		if n := next.Reads("/shop/web") - before; n < 3 {
			return fmt.Errorf("%d reads since the failover", n)
		}
		return nil
	})
	s.more(sent, 200)
	s.awaitServing(hosts...)
	stop()
	app(next, 2, []bool{true}) // and changes get through again
	s.awaitServing(hosts[:2]...)
}

// A task that Marathon is killing gets no new request, and finishes those that it
// has.
func TestMarathonKillingDrains(t *testing.T) {
	sim := marathonsim.Start(t)
	s := newStage(t, registry{watcher: object{"method": "marathon", "marathon_api_url": sim.URL, "application_name": "web"}})
	port := servers.FreePort(t)
	finish := make(chan struct{})
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.39.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	slow := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, "begun ")
			_ = http.NewResponseController(w).Flush()
			<-finish
		}
		_, _ = io.WriteString(w, "127.0.39.1")
	}))
	_ = slow.Listener.Close()
	slow.Listener = l
	slow.Start()
	t.Cleanup(slow.Close)
	end := sync.OnceFunc(func() { close(finish) })
	t.Cleanup(end)
	s.web(fmt.Sprintf("127.0.39.2:%d", port), "127.0.39.2")
	set := func(state string, others ...string) {
		a := marathonsim.App{ID: "/web", Instances: 1, Tasks: []marathonsim.Task{{Host: "127.0.39.1", Ports: []int{port}, State: state}}}
		for _, h := range others {
			a.Tasks = append(a.Tasks, marathonsim.Task{Host: h, Ports: []int{port}})
		}
		sim.Set(a)
		sim.Changed("/web")
	}
	set("TASK_RUNNING")
	s.startSynapse()
	s.awaitServing("127.0.39.1")
	answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/", s.port), "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	begun := make([]byte, len("begun "))
	if _, err := io.ReadFull(answer.Body, begun); err != nil {
		t.Fatal(err)
	}
	set("TASK_KILLING", "127.0.39.2")
	s.awaitServing("127.0.39.2")
	for range 20 {
		if who, err := s.get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}); err != nil || who != "127.0.39.2" {
			t.Fatalf("%q answers, %v", who, err)
		}
	}
	end()
	if rest, err := io.ReadAll(answer.Body); err != nil || string(rest) != "127.0.39.1" {
		t.Errorf("the request under way ended with %q, %v", rest, err)
	}
}

// An instance is deregistered in Consul; an agent that has lost its leader, or
// may not read any more, takes nothing away.
func TestConsulDeregistration(t *testing.T) {
	agent := consulfake.Start(t)
	s := newStage(t, registry{watcher: object{"method": "consul", "hosts": agent.URL, "service": "web"}})
	hosts, port := s.fleet(32, 3)
	register := func(hosts ...string) {
		var list []consulfake.Instance
		for _, h := range hosts {
			list = append(list, consulfake.Instance{Node: h, Address: h, Port: port, Checks: map[string]string{"web": "passing"}})
		}
		agent.Set("web", list...)
	}
	register(hosts...)
	s.startSynapse()
	s.awaitServing(hosts...)
	sent, stop := s.traffic()
	s.more(sent, 100)
	register(hosts[0], hosts[2])
	s.awaitServing(hosts[0], hosts[2])
	s.more(sent, 100)
	agent.Instead(consulfake.Status(http.StatusInternalServerError, "No cluster leader"))
	s.awaitLog(s.synapse, "Consul cannot be read")
	s.more(sent, 200)
	agent.Header("X-Consul-Results-Filtered-By-ACLs", "true")
	register() // an empty list, which is a lie
	agent.Instead(nil)
	calls := len(agent.Calls())
	servers.Eventually(t, func() error {
		if len(agent.Calls()) == calls {
			return errors.New("the agent was not asked again")
		}
		return nil
	})
	s.more(sent, 200)
	s.awaitServing(hosts[0], hosts[2])
	agent.Truth()
	register(hosts...)
	s.awaitServing(hosts...)
	stop()
}

// SRV records change: a server comes, another becomes a backup, and a dead
// nameserver takes nothing away.
func TestSRVChange(t *testing.T) {
	ns := dnstest.Start(t)
	s := newStage(t, registry{watcher: object{"method": "dns", "record": "srv", "servers": []string{"_web._tcp.example.com"}, "nameserver": ns.Addr, "check_interval": 1}})
	hosts, port := s.fleet(33, 3)
	set := func(priorities ...int) {
		var zone []string
		for i, p := range priorities {
			zone = append(zone, fmt.Sprintf("_web._tcp.example.com. 1 IN SRV %d 10 %d w%d.example.com.", p, port, i),
				fmt.Sprintf("w%d.example.com. 1 IN A %s", i, hosts[i]))
		}
		ns.Set(zone...)
	}
	upAt := func(n int) {
		t.Helper()
		servers.Eventually(t, func() error {
			servers, err := s.addresses("web")
			if err == nil && !slices.Equal(slices.Sorted(slices.Values(servers)), hosts[:n]) {
				err = fmt.Errorf("HAProxy has %v, want %v", servers, hosts[:n])
			}
			return err
		})
	}
	set(10, 10)
	s.startSynapse()
	upAt(2)
	sent, stop := s.traffic()
	s.more(sent, 100)
	set(10, 10, 20)
	upAt(3)
	s.more(sent, 100)
	ns.Silence()
	s.awaitLog(s.synapse, "cannot be")
	s.more(sent, 200)
	upAt(3)
	ns.Heal()
	set(10, 10)
	upAt(2)
	s.more(sent, 100)
	stop()
}

// addresses asks HAProxy where the servers of a backend are that are up.
func (s *stage) addresses(backend string) (hosts []string, err error) {
	answer, err := s.ask("show servers state " + backend)
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(answer, "\n") {
		if cells := strings.Fields(line); len(cells) > 6 && cells[1] == backend && cells[5] == "2" && cells[6] == "0" { // up, and not told to drain
			hosts = append(hosts, cells[4])
		}
	}
	return hosts, nil
}

// Clay.io's published file, as it is but for three things that a test needs:
// another path, a poll each second, and HAProxy's own view of the result, as
// that runs elsewhere with other ports (see clay.view). The file untouched runs
// in make test-docker.
func TestClaysFile(t *testing.T) {
	fake := ec2fake.Start(t)
	s := newStage(t, registry{})
	text, err := os.ReadFile("../../internal/config/testdata/airbnb/clay-ec2tag-golden.json")
	if err != nil {
		t.Fatal(err)
	}
	file := string(text)
	for from, to := range map[string]string{"/etc/haproxy/haproxy.cfg": s.path("clay/haproxy.cfg"), `"check_interval": 120.0`: `"check_interval": 1.0`} {
		if strings.Count(file, from) != 1 {
			t.Fatalf("Clay's file holds %q %d times", from, strings.Count(file, from))
		}
		file = strings.Replace(file, from, to, 1)
	}
	s.write("clay.json", file)
	var instances []ec2fake.Instance
	var main []func()
	for i := range 3 {
		ip := fmt.Sprintf("127.0.34.%d", i+1)
		main = append(main, s.web(ip+":50001", ip+" main"))
		s.web(ip+":50002", ip+" backup")
		instances = append(instances, ec2fake.Instance{ID: fmt.Sprint("i-", i), PrivateIP: ip, PrivateDNS: "ip-127-0-34-" + strconv.Itoa(i+1) + ".ec2.internal", Tags: map[string]string{"servicename": "true"}})
	}
	instances = append(instances, ec2fake.Instance{ID: "i-other", PrivateIP: "127.0.34.9", Tags: map[string]string{"servicename": "false"}})
	fake.Set(instances...)
	if err := os.Mkdir(s.path("clay"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.synapse = servers.Program(t, "synapse", bin+"/synapse", "-c", s.path("clay.json"), "--log-format", "text", "--debug")
	c := &clay{stage: s}

	c.awaitAnswers("127.0.34.1 main", "127.0.34.2 main", "127.0.34.3 main")
	instances[1].State = "stopping"
	fake.Set(instances...)
	c.awaitAnswers("127.0.34.1 main", "127.0.34.3 main")
	main[0]()
	main[2]()
	c.awaitBackup()

	// One call for each poll, for the first tag's name alone: docs/sources/ec2tag.md.
	calls := fake.Calls()
	for _, call := range calls {
		if call.Form.Get("Action") != "DescribeInstances" || call.Form.Get("Filter.1.Name") != "tag-key" && call.Form.Get("Filter.2.Name") != "tag-key" || call.Form.Has("NextToken") {
			t.Errorf("a call of another kind: %v", call.Form)
		}
	}
	if len(calls) < 2 {
		t.Errorf("%d calls", len(calls))
	}
}

// clay is the host of Clay.io's, where HAProxy runs in a container of its own
// and loads what synapse has put into the shared directory.
type clay struct {
	*stage
	loaded string // as synapse wrote it
}

// view turns the file into one for this HAProxy: a free port for Clay's, no
// second account and no chroot, as it has no container, and a socket to ask.
func (c *clay) view(text string) string {
	text = regexp.MustCompile(`(?m)^\t(daemon|user .*|group .*|chroot .*|log +127.*)\n`).ReplaceAllString(text, "")
	text = strings.Replace(text, "0.0.0.0:50003", "127.0.0.1:"+strconv.Itoa(c.port), 1)
	text = strings.Replace(text, ":1937", "127.0.0.1:"+strconv.Itoa(servers.FreePort(c.T)), 1)
	return strings.Replace(text, "global\n", "global\n\t"+c.statsLine()+"\n", 1)
}

// follow loads what is new.
func (c *clay) follow() {
	data, _ := os.ReadFile(c.path("clay/haproxy.cfg"))
	if text := string(data); text != "" && text != c.loaded {
		c.loaded = text
		c.write("cfg/haproxy.cfg", c.view(text))
		c.haproxy.Signal(syscall.SIGUSR2)
	}
}

// awaitBackup waits until a backup answers, and nobody else: HAProxy takes one
// at a time, unless told option allbackups.
func (c *clay) awaitBackup() {
	c.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	servers.Eventually(c.T, func() error {
		c.follow()
		for range 8 {
			if name, err := c.get(client); err != nil || !strings.HasSuffix(name, " backup") {
				return fmt.Errorf("%q answers (%v), want a backup", name, err)
			}
		}
		return nil
	})
}

// awaitAnswers waits until HAProxy lets exactly these answer.
func (c *clay) awaitAnswers(want ...string) {
	c.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	servers.Eventually(c.T, func() error {
		c.follow()
		got := map[string]bool{}
		for range 4 * len(want) {
			name, err := c.get(client)
			if err != nil {
				return err
			}
			got[name] = true
		}
		for _, name := range want {
			if !got[name] {
				return fmt.Errorf("%s does not answer: %v", name, got)
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("%v answer, want %v", got, want)
		}
		return nil
	})
}
