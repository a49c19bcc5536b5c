package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"smartstack/internal/etcdconn"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
	"smartstack/watchers/etcd"
	"smartstack/watchers/zookeeper"
)

// inZooKeeper follows /services/web.
func inZooKeeper(t *testing.T, addr string) *consumer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w, err := zookeeper.New(zookeeper.Options{Hosts: []string{addr}, Path: "/services/web", WatchData: "auto"}, zkconn.NewPool(log), log)
	return consume(t, w, err)
}

func inEtcd(t *testing.T, addr string) *consumer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w, err := etcd.New(etcd.Options{Hosts: []string{addr}, Path: "/services/web"}, etcdconn.NewPool(log), log)
	return consume(t, w, err)
}

// configure writes a configuration with these keys of a reporter.
func (h *host) configure(reporter string) {
	h.t.Helper()
	h.write(fmt.Sprintf(`{"instance_id": "i-1", "services": {"web": {
		"host": "127.0.0.1", "port": %d, "check_interval": 0.1, "checks": [{"type": "tcp", "timeout": 10}], %s}}}`, h.port, reporter))
}

// The host is cut off from its registry: for less than a session nothing
// happens; after that it is out, and is back as soon as the way is free.
func TestPartition(t *testing.T) {
	for _, kind := range []string{"zookeeper", "etcd"} {
		t.Run(kind, func(t *testing.T) {
			h := newHost(t)
			var c *consumer
			var p *servers.Proxy
			if kind == "zookeeper" {
				zk := servers.ZooKeeper(t)
				p, c = servers.StartProxy(t, zk.Addr), inZooKeeper(t, zk.Addr)
				h.configure(fmt.Sprintf(`"zk_hosts": [%q], "zk_path": "/services/web", "zk_session_timeout": 3`, p.Addr()))
			} else {
				e := servers.Etcd(t)
				p, c = servers.StartProxy(t, e.Addr), inEtcd(t, e.Addr)
				h.configure(fmt.Sprintf(`"reporter_type": "etcd", "etcd_host": %q, "etcd_path": "/services/web", "lease_ttl": 3`, p.Addr()))
			}
			n := start(t, "-c", h.config)
			c.sees(1)
			gone := c.count(0)
			p.Cut()
			p.Restore()
			c.sees(1)
			if n := gone(); n > 0 {
				t.Errorf("a short cut withdrew the service: %d times", n)
			}
			p.Cut()
			c.sees(0) // the registry has given it up
			p.Restore()
			c.sees(1)
			// And what changed meanwhile is told.
			p.Cut()
			h.listener.Close()
			n.says("service is down")
			p.Restore()
			c.sees(0)
		})
	}
}

// count returns a function that tells how many updates since had that many
// backends.
func (c *consumer) count(backends int) func() int {
	before := c.seen(backends)
	return func() int { return c.seen(backends) - before }
}

// An ensemble loses a member, and then its quorum, while the service dies. It
// is withdrawn as soon as writes are possible, and comes back like that.
func TestEnsembleFailsPartly(t *testing.T) {
	all := servers.ZooKeeperEnsemble(t, 3)
	h := newHost(t)
	h.configure(fmt.Sprintf(`"zk_hosts": [%q, %q], "zk_path": "/services/web", "zk_session_timeout": 10`, all[0].Addr, all[1].Addr))
	n := start(t, "-c", h.config)
	c := inZooKeeper(t, all[0].Addr+","+all[1].Addr+","+all[2].Addr)
	c.sees(1)
	gone := c.count(0)
	all[0].Stop() // nerve is connected to this one
	c.sees(1)
	all[0].Start()
	all[1].Stop() // or to this
	c.sees(1)
	if n := gone(); n > 0 {
		t.Errorf("a member's death withdrew the service: %d times", n)
	}
	all[2].Stop() // no quorum: no writes
	h.listener.Close()
	n.says("service is down")
	n.says("cannot report")
	all[1].Launch()
	c.sees(0)
	h.listen()
	c.sees(1)
}

// A nerve that is killed while it registers leaves at most what its session
// holds; the next one ends up with exactly one registration.
func TestKilledWhileRegistering(t *testing.T) {
	zk := servers.ZooKeeper(t)
	h := newHost(t)
	h.configure(fmt.Sprintf(`"zk_hosts": [%q], "zk_path": "/services/web", "zk_session_timeout": 2`, zk.Addr))
	log := slog.New(slog.DiscardHandler)
	conn, err := zkconn.NewPool(log).Open(zkconn.Ensemble{Hosts: []string{zk.Addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.MakePath(t.Context(), "/services/web"); err != nil {
		t.Fatal(err)
	}
	nodes := func() int {
		list, err := conn.Children(t.Context(), "/services/web")
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Names)
	}
	for i := range 2 {
		n := start(t, "-c", h.config)
		servers.Eventually(t, func() error { // the very moment of the create, not of its answer
			if nodes() <= i {
				return errors.New("not registered")
			}
			return nil
		})
		n.signal(syscall.SIGKILL)
		n.exit()
	}
	one := func() error {
		if n := nodes(); n != 1 {
			return fmt.Errorf("%d registrations", n)
		}
		return nil
	}
	last := start(t, "-c", h.config)
	servers.Eventually(t, one)
	c := inZooKeeper(t, zk.Addr)
	c.sees(1)

	// And between the create and its answer: ZooKeeper stands still, so that the
	// request lies in its socket, and carries it out when nerve is dead.
	last.signal(syscall.SIGTERM)
	last.exit()
	c.sees(0)
	h.listener.Close()
	n := start(t, "-c", h.config)
	n.says("service is down")
	n.says("connected to ZooKeeper")
	zk.Pause()
	h.listen()
	n.says("cannot report")
	n.signal(syscall.SIGKILL)
	n.exit()
	zk.Resume()
	start(t, "-c", h.config)
	servers.Eventually(t, one)
	c.sees(1)
}

// Two nerves say that they are the same instance, and the name of the node is
// fixed: the first keeps it, the second says why it has none, and takes over.
func TestTwoNervesAreOneInstance(t *testing.T) {
	zk := servers.ZooKeeper(t)
	h := newHost(t)
	h.configure(fmt.Sprintf(`"zk_hosts": [%q], "zk_path": "/services/web", "node_type": "ephemeral"`, zk.Addr))
	c := inZooKeeper(t, zk.Addr)
	first := start(t, "-c", h.config)
	c.sees(1)
	second := start(t, "-c", h.config)
	second.says("another nerve with this instance id")
	first.signal(syscall.SIGTERM)
	first.exit()
	second.says("reports again")
	c.sees(1)
	second.signal(syscall.SIGTERM)
	second.exit()
	c.sees(0)
}

// Of 1,000 services 900 die at once: just those are withdrawn, and they return.
func TestNineTenthsDieAtOnce(t *testing.T) {
	const services, dying, limit = 1000, 900, 4 * servers.Deadline
	zk := servers.ZooKeeper(t)
	h, other := newHost(t), newHost(t)
	var text strings.Builder
	for i := range services {
		port := h.port
		if i >= dying {
			port = other.port
		}
		fmt.Fprintf(&text, `, "s%d": {"host": "127.0.0.1", "port": %d, "check_interval": 2, "zk_hosts": [%q], "zk_path": "/services/web",
			"flap_damping": {"drops": 100}, "checks": [{"type": "tcp", "port": %d, "timeout": 60}]}`, i, i+1, zk.Addr, port) // they die by a refusal
	}
	h.write(`{"instance_id": "i-1", "services": {` + text.String()[2:] + `}}`)
	c := inZooKeeper(t, zk.Addr)
	n := start(t, "-c", h.config)
	c.seesWithin(limit, services)
	h.listener.Close()
	c.seesWithin(limit, services-dying)
	h.listen()
	c.seesWithin(limit, services)

	// With a limit a blip of the host takes no more than that.
	h.write(`{"instance_id": "i-1", "max_down_at_once": "10%", "services": {` + text.String()[2:] + `}}`)
	n.signal(syscall.SIGHUP)
	n.says(`"kept":1000`)
	h.listener.Close()
	c.seesWithin(limit, services-services/10)
	n.says("it stays registered")
	h.listen()
	c.seesWithin(limit, services)
	n.signal(syscall.SIGTERM)
	if code := n.exit(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
	c.seesWithin(limit, 0)
}

// nerve has no file descriptors left: it says so, and withdraws nothing. With
// the next free one all goes on.
func TestNoFileDescriptors(t *testing.T) {
	h := newOperated(t, "")
	limit := filepath.Join(h.dir, "limited")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n 32\nexec %s \"$@\"\n", os.Args[0])
	if err := os.WriteFile(limit, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	n := startProgram(t, limit, nil, "-c", h.config)
	h.registered(7)
	h.ready()
	var held []net.Conn
	for range 64 {
		c, err := net.Dial("unix", h.socket)
		if err != nil {
			break // its backlog is full
		}
		held = append(held, c)
	}
	n.says("nerve cannot check")
	n.says("too many open files")
	if _, err := os.Stat(h.file()); err != nil {
		t.Errorf("withdrawn: %v", err)
	}
	for _, c := range held {
		c.Close()
	}
	n.says("nerve can check again")
	h.listener.Close()
	h.registered(0)
	h.listen()
	h.registered(7)
}

// Whatever counts time, in the loops and in what they call, uses the monotonic
// clock, so that a jump of the wall clock does nothing: neither compares moments
// that have lost it.
func TestNothingGoesByTheWallClock(t *testing.T) {
	var files []string
	for _, dir := range []string{
		"internal/nerve", "internal/facts", "internal/zkconn", "internal/etcdconn", "internal/checkconn", "internal/containers",
		"internal/command", "internal/control", "reporters", "reporters/*", "checks", "checks/*",
	} {
		found, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil || len(found) == 0 {
			t.Fatal(dir, found, err)
		}
		files = append(files, found...)
	}
	// What tells people and registries the time may say what the wall says.
	allowed := map[string]int{"internal/nerve/stamp.go": 1}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		found := 0
		for _, call := range []string{".Unix()", ".UnixNano()", ".UnixMilli()", ".UnixMicro()", ".Round(0)", ".UTC()", ".In(", ".Truncate(", "time.Unix(", "time.Date("} {
			found += strings.Count(string(data), call)
		}
		if name := strings.TrimPrefix(file, "../../"); found > allowed[name] {
			t.Errorf("%s uses the wall clock %d times, want at most %d", name, found, allowed[name])
		}
	}
}
