package bench

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
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
