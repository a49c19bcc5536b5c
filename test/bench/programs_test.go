package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"smartstack/test/servers"
)

// BenchmarkColdStart is the time from the start of synapse's process to its
// first complete file, with 1,000 services × 10 backends.
func BenchmarkColdStart(b *testing.B) {
	const rounds = 5
	for i, reg := range eachRegistry(b) {
		s := newStack(b, reg, i, 1000)
		s.configure(false, "true", nil)
		s.start() // warms up the registry
		for range b.N {
			var took []time.Duration
			var cpu time.Duration
			for range rounds {
				s.synapse.Terminate()
				for _, name := range []string{"haproxy.cfg", ".synapse"} { // nothing is known
					if err := os.RemoveAll(s.path(name)); err != nil {
						b.Fatal(err)
					}
				}
				took = append(took, s.start())
				cpu += used(b, s.synapse.PID()).cpu
			}
			slices.Sort(took)
			note(b, "size", "synapse's cold start, 1000 × 10 in "+reg.name(), atMost(0.7, "0.7 s"),
				val("median", took[rounds/2].Seconds(), "s"), val("longest", took[rounds-1].Seconds(), "s"),
				val("CPU", (cpu/rounds).Seconds(), "s"))
		}
	}
}

// BenchmarkSynapseIdle is what synapse needs while nothing happens, with 1,000
// services × 10 backends in ZooKeeper and HAProxy's socket.
func BenchmarkSynapseIdle(b *testing.B) {
	s := newStack(b, newZooKeeper(b), 0, 1000)
	s.configure(true, s.startHAProxy(), nil)
	s.start()
	s.awaitLoaded()
	<-time.After(10 * time.Second) // whatever the start has left to do
	for range b.N {
		before, haproxy := used(b, s.synapse.PID()), used(b, s.worker)
		<-time.After(30 * time.Second)
		note(b, "size", "idle synapse's CPU, 1000 × 10", atMost(0.5, "0.5 %"),
			val("", before.share(b, s.synapse.PID()), "% of a core"), val("HAProxy", haproxy.share(b, s.worker), "%"))
		note(b, "size", "idle synapse's memory, 1000 × 10", atMost(40, "40 MB"), val("", resident(b, s.synapse.PID()), "MB"))
	}
}

// BenchmarkNerve is what nerve needs for 1,000 services that are registered in
// ZooKeeper and checked over HTTP twice a second.
func BenchmarkNerve(b *testing.B) {
	zk := newZooKeeper(b)
	// So many ports that none runs out of connections.
	ports := healthy(b, 20)
	list := object{}
	for i := range 1000 {
		list[fmt.Sprintf("s%03d", i)] = object{
			"host": "127.0.0.1", "port": ports[i%len(ports)], "check_interval": 0.5,
			"reporter_type": "zookeeper", "zk_hosts": []string{zk.server.Addr}, "zk_path": fmt.Sprintf("/nerve/s%03d", i),
			"checks": []object{{"type": "http", "uri": "/health", "timeout": 5, "open_timeout": 5}},
		}
	}
	data, err := json.Marshal(object{"instance_id": "i-1", "services": list})
	if err != nil {
		b.Fatal(err)
	}
	path := b.TempDir() + "/nerve.json"
	if err := os.WriteFile(path, data, 0o644); err != nil {
		b.Fatal(err)
	}
	nerve := servers.Program(b, "nerve", program(b, "nerve"), "-c", path, "--log-format", "text")
	for i := range 1000 {
		servers.Eventually(b, func() error {
			l, err := zk.conn.Children(b.Context(), fmt.Sprintf("/nerve/s%03d", i))
			if err == nil && len(l.Names) != 1 {
				err = fmt.Errorf("service %d is not registered; nerve says:\n%s", i, nerve.Log())
			}
			return err
		})
	}
	<-time.After(2 * time.Second)
	for range b.N {
		before := used(b, nerve.PID())
		<-time.After(20 * time.Second)
		share := before.share(b, nerve.PID())
		note(b, "size", "nerve's CPU, 1000 services × 2 checks/s", atMost(25, "25 %"),
			val("", share, "% of a core"), val("", share*10/2, "µs a check"))
		note(b, "size", "nerve's memory, 1000 services", atMost(50, "50 MB"), val("", resident(b, nerve.PID()), "MB"))
	}
}

// BenchmarkSize is the size of the programs as they are released.
func BenchmarkSize(b *testing.B) {
	for _, name := range []string{"nerve", "synapse"} {
		info, err := os.Stat(program(b, name))
		if err != nil {
			b.Fatal(err)
		}
		if out, err := exec.Command(program(b, name), "--version").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		note(b, "size", name+"'s binary", atMost(20, "20 MB"), val("", float64(info.Size())/1e6, "MB"))
	}
}
