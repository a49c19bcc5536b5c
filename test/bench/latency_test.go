package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// latencies are what a number of changes took.
type latencies struct{ acked, sent []time.Duration }

// quantile returns the q-th part of the sorted times, in milliseconds.
func quantile(times []time.Duration, q float64) float64 {
	s := slices.Sorted(slices.Values(times))
	return float64(s[min(len(s)-1, int(q*float64(len(s))))].Microseconds()) / 1000
}

// changing makes one change after the other to one service of a stack: a
// backend comes, and goes again.
type changing struct {
	*stack
	svc    int
	next   int
	last   service.Backend
	remove func() // nil = the next change adds
	times  latencies
}

func newChanging(s *stack) *changing { return &changing{stack: s, svc: len(s.paths) / 2} }

// change makes the next change, and measures until see returns: see is told
// the backend and whether it is there now, and returns when that shows.
func (c *changing) change(see func(be service.Backend, there bool) time.Time) {
	c.b.Helper()
	sent, there := time.Now(), c.remove == nil
	if there {
		c.next++
		c.last = service.Backend{
			Name: fmt.Sprintf("new-%d", c.next), Port: 9000,
			Host: fmt.Sprintf("10.%d.%d.%d", 250+c.fleet%5, c.next/250, c.next%250+1),
		}
		c.remove = c.reg.add(c.paths[c.svc], c.last)
	} else {
		c.remove()
		c.remove = nil
	}
	acked := time.Now()
	at := see(c.last, there)
	// What the registry tells synapse may overtake the answer to us.
	c.times.acked = append(c.times.acked, max(0, at.Sub(acked)))
	c.times.sent = append(c.times.sent, at.Sub(sent))
}

// inFile waits for a file that has the change.
func (c *changing) inFile(be service.Backend, there bool) time.Time {
	c.b.Helper()
	address := fmt.Sprintf(" %s:%d ", be.Host, be.Port)
	return c.await(c.files, "a file with "+address, func() bool { return strings.Contains(c.config(), address) == there })
}

// inHAProxy waits until HAProxy runs the change. It asks every 0.2 ms.
func (c *changing) inHAProxy(be service.Backend, there bool) time.Time {
	c.b.Helper()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for end := time.Now().Add(servers.Deadline); time.Now().Before(end); <-tick.C {
		if c.serves(c.svc, be) == there {
			return time.Now()
		}
	}
	c.b.Fatalf("HAProxy does not hear of %s; synapse says:\n%s", be.Host, c.synapse.Log())
	return time.Time{}
}

// pair is the same thing in two sizes. Changes to the one and to the other
// alternate, so that whatever else the machine does meets both.
type pair struct {
	reg          registry
	small, large *changing
}

func newPairs(b *testing.B, prepare func(*stack)) (pairs []pair) {
	b.Helper()
	for i, reg := range eachRegistry(b) {
		p := pair{reg: reg}
		for j, services := range []int{10, 1000} {
			s := newStack(b, reg, 2*i+j, services)
			prepare(s)
			*[]**changing{&p.small, &p.large}[j] = newChanging(s)
		}
		pairs = append(pairs, p)
	}
	return pairs
}

// note records both sizes, and their ratio.
func (p pair) note(b *testing.B, to string, limit *bound) {
	b.Helper()
	for _, c := range []*changing{p.small, p.large} {
		name := fmt.Sprintf("%s to %s, %d × 10", p.reg.name(), to, len(c.paths))
		of := limit
		if c == p.large {
			of = nil // its bound is the ratio
		}
		note(b, "latency", name, of,
			val("median", quantile(c.times.acked, 0.5), "ms"), val("p99", quantile(c.times.acked, 0.99), "ms"),
			val("from sending the write: median", quantile(c.times.sent, 0.5), "ms"), val("changes", float64(len(c.times.sent)), ""))
	}
	note(b, "latency", fmt.Sprintf("%s to %s, 1000 × 10 against 10 × 10", p.reg.name(), to), atMost(1.5, "1.5 ×"),
		val("", quantile(p.large.times.acked, 0.5)/quantile(p.small.times.acked, 0.5), "×"))
	p.small.times, p.large.times = latencies{}, latencies{}
}

// BenchmarkChangeToFile is the time from a write to the registry that is
// acknowledged to the new haproxy.cfg in its place, without a socket. Changes to
// one synapse are further apart than the second after which a change counts as
// the first, which is written at once.
func BenchmarkChangeToFile(b *testing.B) {
	pairs := newPairs(b, func(s *stack) {
		s.configure(false, "true", nil)
		s.start()
	})
	var all []*changing
	for _, p := range pairs {
		all = append(all, p.small, p.large)
	}
	for range b.N {
		tick := time.NewTicker(1200 * time.Millisecond / time.Duration(len(all)))
		for i := range 101 * len(all) {
			<-tick.C
			c := all[i%len(all)]
			c.change(c.inFile)
			if i < len(all) { // the first of each only ends the start
				c.times = latencies{}
			}
		}
		tick.Stop()
		for _, p := range pairs {
			p.note(b, "haproxy.cfg", atMost(10, "10 ms"))
		}
	}
}

// BenchmarkChangeToHAProxy is the time from a write to the registry that is
// acknowledged to the moment at which HAProxy runs it, told over its socket.
func BenchmarkChangeToHAProxy(b *testing.B) {
	pairs := newPairs(b, func(s *stack) {
		s.configure(true, s.startHAProxy(), nil)
		s.start()
		s.awaitLoaded()
	})
	var all []*changing
	for _, p := range pairs {
		all = append(all, p.small, p.large)
	}
	<-time.After(10 * time.Second) // whatever the start has left to do
	idle := cpuIn(b, all, func() { <-time.After(10 * time.Second) })
	for range b.N {
		cpu := cpuIn(b, all, func() { changeInTurn(all) })
		for _, p := range pairs {
			perChange := func(c *changing) float64 {
				calm := idle[c].cpu.Seconds() / idle[c].took.Seconds() * cpu[c].took.Seconds()
				return 1000 * max(0, cpu[c].cpu.Seconds()-calm) / float64(len(c.times.sent)+1)
			}
			small, large := perChange(p.small), perChange(p.large)
			note(b, "latency", p.reg.name()+" to HAProxy, synapse's CPU per change beyond that in calm, 1000 × 10 against 10 × 10", atMost(1.5, "1.5 ×"),
				val("", large/small, "×"), val("of", small, "ms"))
			p.note(b, "HAProxy", atMost(10, "10 ms"))
		}
	}
}

// changeInTurn changes each 201 times, and forgets what the first took.
func changeInTurn(all []*changing) {
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	for i := range 201 * len(all) {
		<-tick.C
		c := all[i%len(all)]
		c.change(c.inHAProxy)
		if i < len(all) {
			c.times = latencies{}
		}
	}
}

// spent is the CPU that a synapse has used, and in which time.
type spent struct{ cpu, took time.Duration }

// cpuIn returns what each synapse uses while do runs.
func cpuIn(b *testing.B, all []*changing, do func()) map[*changing]spent {
	b.Helper()
	before := map[*changing]usage{}
	for _, c := range all {
		before[c] = used(b, c.synapse.PID())
	}
	do()
	out := map[*changing]spent{}
	for _, c := range all {
		now := used(b, c.synapse.PID())
		out[c] = spent{now.cpu - before[c].cpu, now.at.Sub(before[c].at)}
	}
	return out
}
