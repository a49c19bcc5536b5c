package haproxy

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

// upheaval changes something of every kind: servers that come, go, move and have
// other options, and on odd turns lines that need a reload.
func (a *arena) upheaval(turn int) {
	for name, change := range map[string]func(pool []*spot){
		"s0": func(pool []*spot) {
			pool[3].here = turn%2 == 0
			pool[0].here = turn%2 == 1
			pool[1].ServerOptions = []string{"weight 7", ""}[turn%2]
		},
		"s1": func(pool []*spot) {
			pool[1].ServerOptions = []string{"maxconn 10", "check inter 5s fall 5"}[turn%2]
			pool[2].Backup = turn%2 == 0
			pool[4].here = turn%2 == 0
		},
	} {
		change(a.world[name].pool)
		a.touch(name, nil)
		a.guard.drop(func(r ServerRef) bool { return r.Backend == name })
	}
	if turn%2 == 1 {
		a.world["s3"].here = !a.world["s3"].here
		a.guard.drop(func(r ServerRef) bool { return r.Backend == "s3" })
	}
}

// killAt plays an upheaval for each n from 1 on, in which synapse dies at the nth
// point of its work, until it outlives one. What it leaves behind the next
// synapse must bring in order.
func killAt(t *testing.T, arm func(a *arena, n int64), disarm func(a *arena)) {
	a := newArena(t)
	defer a.leave()
	stride := 7 // through all points in turns: odd, so with and without a reload
	if os.Getenv("STEPS") != "" {
		stride = 1
	}
	lived := false
	n := 0
	for ; !lived; n += stride {
		a.upheaval(n)
		if a.out == nil {
			a.open()
		}
		arm(a, int64(n/2+1)) // once without a reload, once with
		for range 8 {
			if again := a.apply(servers.Deadline); a.out == nil {
				break
			} else if m := a.out.memory; m.job != nil {
				a.awaitJob()
			} else {
				a.age(max(again, 200*time.Millisecond))
			}
		}
		lived = a.out != nil
		disarm(a)
		if a.converge(); a.failed != nil {
			t.Fatalf("died at point %d: %v\n%s", n/2+1, a.failed, a.story())
		}
	}
	t.Logf("%d deaths, %d reloads", n/stride-1, a.reloads.Load())
}

// awaitJob waits until the job under way has ended, or died.
func (a *arena) awaitJob() {
	select {
	case <-a.out.memory.job.done:
	case <-a.life.Load().parked:
	case <-time.After(servers.Deadline):
		a.fail("a job does not end")
	}
}

func TestKilledBetweenAnyTwoSteps(t *testing.T) {
	killAt(t,
		func(a *arena, n int64) { a.life.Load().countdown.Store(n) },
		func(a *arena) {
			if a.out != nil {
				a.life.Load().countdown.Store(0)
			}
		})
}

func TestKilledBetweenAnyTwoCommands(t *testing.T) {
	killAt(t,
		func(a *arena, n int64) {
			a.relay.fault.Store("die after")
			a.relay.countdown.Store(n)
		},
		func(a *arena) { a.relay.countdown.Store(0) })
}

// TestChurn lets time pass as it does: servers come and go all the time, synapse
// and HAProxy are killed again and again. Soon after the end of it HAProxy, the
// file and the snapshot are the same. CHURN=60s is the long version, which also
// holds how soon.
func TestChurn(t *testing.T) {
	long, limit := 2*time.Second, servers.Deadline
	if d, err := time.ParseDuration(os.Getenv("CHURN")); err == nil {
		long, limit = d, 2*time.Second
	}
	rnd := rand.New(rand.NewPCG(uint64(long), 4))
	a := newArena(t)
	defer a.leave()
	synapse, haproxy := 0, 0
	for end := time.Now().Add(long); time.Now().Before(end) && a.failed == nil; {
		a.mutate(rnd)
		switch rnd.IntN(40) {
		case 0:
			haproxy++
			a.restartHAProxy(a.file)
		case 1, 2:
			if a.out != nil {
				a.life.Load().countdown.Store(1 + rnd.Int64N(12))
			}
		}
		again := a.apply(servers.Deadline)
		if a.out == nil {
			synapse++
		}
		<-time.After(min(again, time.Duration(rnd.IntN(30))*time.Millisecond))
	}
	a.mendAll()
	if a.out != nil {
		a.life.Load().countdown.Store(0)
	}
	began := time.Now()
	for err := error(nil); a.failed == nil; {
		again := a.apply(servers.Deadline)
		if a.out != nil {
			if err = a.difference(); err == nil {
				break
			}
		}
		if time.Since(began) > limit {
			a.fail("%v after the churn: %v", limit, err)
		}
		<-time.After(min(again, 20*time.Millisecond))
	}
	if a.failed != nil {
		t.Fatalf("%v\n%s", a.failed, a.story())
	}
	t.Logf("synapse died %d times, HAProxy %d times, %d reloads; all the same after %v",
		synapse, haproxy, a.reloads.Load(), time.Since(began).Round(time.Millisecond))
	if strings.Contains(a.log.String(), "panic") {
		t.Error(a.story())
	}
}
