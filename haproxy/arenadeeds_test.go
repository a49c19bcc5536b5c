package haproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// snapshot returns the world as the hub would hand it over.
func (a *arena) snapshot() service.Snapshot {
	if !a.stale {
		return a.snap
	}
	a.stale = false
	a.rev++
	a.snap = service.Snapshot{Rev: a.rev}
	for _, cfg := range a.services {
		d := a.world[cfg.Name]
		if !d.here {
			continue
		}
		if d.made == nil {
			d.made = &service.Service{Name: cfg.Name, Rev: a.rev, Origin: service.Discovered, Backends: service.SetOf(d.backends()...)}
		}
		a.snap.Services = append(a.snap.Services, d.made)
	}
	return a.snap
}

func (d *district) backends() []service.Backend {
	var list []service.Backend
	for _, s := range d.pool {
		if s.here {
			list = append(list, s.Backend)
			if s.Port%2 == 0 { // the same twice is once
				list = append(list, s.Backend)
			}
		}
	}
	return list
}

// touch takes note that a service has changed, and which of its servers are
// not what they were.
func (a *arena) touch(name string, before map[string]want) {
	a.world[name].made, a.stale = nil, true
	now := a.world[name].wants()
	a.guard.drop(func(r ServerRef) bool { return r.Backend == name && now[r.Server] != before[r.Server] })
}

func (a *arena) pick(rnd *rand.Rand) (string, *district) {
	name := a.services[rnd.IntN(len(a.services))].Name
	return name, a.world[name]
}

var badOptions = []string{"nonsense", "weight 3 nonsense", "check inter", "ssl crt /nonexistent"}

func (a *arena) mutate(rnd *rand.Rand) {
	name, d := a.pick(rnd)
	before := d.wants()
	s := d.pool[rnd.IntN(len(d.pool))]
	switch n := rnd.IntN(29); {
	case n < 10:
		s.here = true
	case n < 17:
		s.here = false
	case n < 20:
		s.ServerOptions, s.bad = fmt.Sprintf("weight %d", 1+rnd.IntN(9)), false
	case n < 22:
		s.ServerOptions, s.bad = []string{"", "maxconn 10", "check inter 10s", "maxconn 7 weight 3", "check inter 5s fall 5 on-marked-down shutdown-sessions"}[rnd.IntN(5)], false
	case n < 24:
		s.Backup = !s.Backup
	case n < 26:
		s.Labels = service.Labels(fmt.Sprintf(`{"az":"%d"}`, rnd.IntN(3)))
	case n < 28:
		if parts := strings.Split(s.Host, "."); len(parts) == 4 {
			s.Host = fmt.Sprintf("127.0.%s.%d", parts[2], 1+rnd.IntN(200))
		}
	default:
		s.ServerOptions, s.bad = badOptions[rnd.IntN(len(badOptions))], true
	}
	a.touch(name, before)
}

func (a *arena) applyTimes(n int) {
	for range n {
		a.apply(2 * time.Second)
	}
}

func (a *arena) members(rnd *rand.Rand) {
	for range 1 + rnd.IntN(4) {
		a.mutate(rnd)
	}
	a.applyTimes(1 + rnd.IntN(2))
}

func (a *arena) burst(rnd *rand.Rand) {
	each := rnd.IntN(2) == 0
	for range 20 {
		a.mutate(rnd)
		if each {
			a.applyTimes(1)
		}
	}
	a.applyTimes(1)
}

// fleet adds many servers at once, or takes them away again.
func (a *arena) fleet(rnd *rand.Rand) {
	name, d := a.pick(rnd)
	before := d.wants()
	if len(d.pool) > 10 {
		d.pool = d.pool[:10]
	} else {
		for i := range 60 {
			d.pool = append(d.pool, &spot{here: true, Backend: service.Backend{Name: fmt.Sprint("f", i), Host: fmt.Sprintf("127.9.0.%d", i+1), Port: d.pool[0].Port}})
		}
	}
	a.touch(name, before)
	a.applyTimes(1)
}

func (a *arena) empty(rnd *rand.Rand) {
	name, d := a.pick(rnd)
	before := d.wants()
	for _, s := range d.pool {
		s.here = false
	}
	a.touch(name, before)
	a.applyTimes(1 + rnd.IntN(2))
}

func (a *arena) toggleService(rnd *rand.Rand) {
	name, d := a.pick(rnd)
	d.here = !d.here
	a.stale = true
	a.guard.drop(func(r ServerRef) bool { return r.Backend == name })
	a.applyTimes(1)
}

func (a *arena) lines(rnd *rand.Rand) {
	if a.out == nil {
		return
	}
	i := rnd.IntN(len(a.services))
	a.services = slices.Clone(a.services)
	a.services[i].Options.Backend = [][]string{nil, {"balance leastconn"}, {"balance source"}, {"cookie SRV insert"}, {"timeout server 7s"}}[rnd.IntN(5)]
	next, err := a.out.Reconfigured(a.options, a.services)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.out.memory != nil && a.out.memory.job != nil { // it waits for it
		a.liftTroubles()
	}
	a.out = next
	a.applyTimes(1)
}

func (a *arena) timePasses(rnd *rand.Rand) {
	a.age(time.Duration(rnd.IntN(6000)) * time.Millisecond)
	a.applyTimes(1)
}

func (a *arena) calm(*rand.Rand) { a.converge() }

func (a *arena) restartSynapse(rnd *rand.Rand) {
	a.liftTroubles()
	if a.out != nil {
		if err := a.out.Close(); err != nil {
			a.fail("Close: %v", err)
		}
		a.out = nil
	}
	if rnd.IntN(2) == 0 { // before the registries have spoken
		a.open()
		unknown := service.Snapshot{Rev: a.rev + 1}
		a.rev++
		a.stale = true
		for _, cfg := range a.services {
			if a.world[cfg.Name].here {
				unknown.Services = append(unknown.Services, &service.Service{Name: cfg.Name, Rev: a.rev, Origin: service.Unknown})
			}
		}
		a.snap, a.stale = unknown, false
		a.applyTimes(2)
		a.age(2 * time.Second)
		a.applyTimes(1)
		a.stale = true
	}
	a.applyTimes(1)
}

// dieAtStep ends synapse between two steps of one of the next applies.
func (a *arena) dieAtStep(rnd *rand.Rand) {
	if a.out == nil {
		a.open()
	}
	a.life.Load().countdown.Store(1 + rnd.Int64N(16))
	for range 8 {
		a.mutate(rnd)
		a.age(time.Duration(rnd.IntN(1200)) * time.Millisecond)
		a.applyTimes(1)
		if a.out == nil {
			return
		}
	}
	a.life.Load().countdown.Store(0)
}

func (a *arena) dieAtCommand(rnd *rand.Rand) {
	a.failAt(rnd, "die before", "die after")
}

func (a *arena) failSocket(rnd *rand.Rand) {
	a.failAt(rnd, "refuse", "close before", "close after", "half", "garbage")
}

func (a *arena) failAt(rnd *rand.Rand, faults ...string) {
	a.relay.fault.Store(faults[rnd.IntN(len(faults))])
	a.relay.countdown.Store(1 + rnd.Int64N(14))
	for range 1 + rnd.IntN(4) {
		a.mutate(rnd)
	}
	a.age(time.Duration(rnd.IntN(3000)) * time.Millisecond)
	a.applyTimes(1)
	a.relay.countdown.Store(0)
}

// restartHAProxy ends HAProxy as a crash does, and starts it with a file.
func (a *arena) restartHAProxy(file string) {
	a.trace("haproxy starts with %s", file)
	a.proc.Stop()
	a.point(file)
	a.guard.set(nil)
	a.operated = map[ServerRef]bool{}
	a.disturbed.Store(true) // until a reload: synapse may be about to give ids that HAProxy still uses
	a.leftovers.Store(file != a.file)
	a.proc.Start()
	servers.Eventually(a.t, func() error {
		_ = a.side.Close()
		if pidOf(a.t.Context(), a.side) == 0 {
			return errors.New("does not answer yet")
		}
		return nil
	})
	a.point(a.file)
}

func (a *arena) killHAProxy(rnd *rand.Rand) {
	file := a.file
	if a.edited {
		file = a.copies[len(a.copies)-1]
	}
	if rnd.IntN(2) == 0 { // synapse notices while it is away
		a.proc.Stop()
		a.guard.set(nil)
		a.mutate(rnd)
		a.applyTimes(1)
	}
	a.restartHAProxy(file)
	a.applyTimes(1)
}

func (a *arena) oldHAProxy(rnd *rand.Rand) {
	a.restartHAProxy(a.copies[rnd.IntN(len(a.copies))])
	a.leftovers.Store(true) // until a reload: synapse may die before it meets it, and then knows nothing of what was before
	a.applyTimes(1)
}

func (a *arena) hang(rnd *rand.Rand) {
	a.proc.Pause()
	a.mutate(rnd)
	a.age(time.Duration(rnd.IntN(3000)) * time.Millisecond)
	a.apply(100 * time.Millisecond)
	a.proc.Resume()
	a.applyTimes(1)
}

func (a *arena) removeSocket(rnd *rand.Rand) {
	if os.Rename(a.sock, a.sock+".away") != nil {
		return
	}
	if a.out != nil && a.out.memory != nil {
		_ = a.out.memory.runtime.Close()
	}
	a.mutate(rnd)
	a.age(time.Duration(rnd.IntN(6000)) * time.Millisecond)
	a.applyTimes(1 + rnd.IntN(2))
	_ = os.Rename(a.sock+".away", a.sock) // unless a reload has made a new one
	a.applyTimes(1)
}

// operate does by hand what an operator might.
func (a *arena) operate(rnd *rand.Rand) {
	name, d := a.pick(rnd)
	backends := d.backends()
	if len(backends) == 0 {
		return
	}
	names := serverNames(backends, nil)
	i := rnd.IntN(len(names))
	r := ServerRef{name, names[i]}
	thief := []string{fmt.Sprintf("add server %s/thief%d 127.0.0.1:9 id %d", name, rnd.IntN(3), 1+rnd.IntN(14)), fmt.Sprintf("enable server %s/thief", name)}
	var cmds []string
	switch rnd.IntN(8) {
	case 0:
		cmds = []string{"set server " + r.String() + " state maint"}
	case 1:
		cmds = []string{"set server " + r.String() + " state drain"}
	case 2, 3:
		cmds = []string{"set server " + r.String() + " state ready"}
	case 4:
		cmds = []string{"disable server " + r.String(), "del server " + r.String()}
	case 5:
		cmds = thief
	case 6:
		cmds = append([]string{"disable server " + r.String(), "del server " + r.String()},
			"add server "+r.String()+" 127.0.0.1:9", "enable server "+r.String())
	case 7:
		cmds = []string{"set server " + r.String() + " weight 77", "set server " + r.String() + " addr 127.0.0.1 port 9"}
	}
	a.guard.drop(func(x ServerRef) bool { return x == r })
	a.operated[r] = true
	a.disturbed.Store(true)
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Second)
	defer cancel()
	replies, _ := a.side.Do(ctx, cmds)
	a.trace("by hand: %q: %q", cmds, replies)
	if rnd.IntN(2) == 0 {
		a.age(time.Second)
	}
	a.mutate(rnd)
	a.applyTimes(1)
}

func (a *arena) editFile(rnd *rand.Rand) {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return
	}
	a.edited = true
	if a.out != nil && a.out.memory != nil && a.out.memory.job != nil && a.out.memory.job.step == stepReload {
		a.guard.set(nil) // HAProxy may be reading the file now, and no one can keep it from what it says
	}
	switch rnd.IntN(5) {
	case 0:
		text = append(text, "# by hand\n"...)
	case 1:
		text = []byte(strings.Replace(string(text), "127.0.", "127.1.", 1))
	case 2:
		text = text[:len(text)/2]
	case 3:
		text = []byte("rubbish\n")
	case 4:
		_ = os.Remove(a.file)
	}
	if rnd.IntN(2) == 0 {
		_ = os.WriteFile(a.file, text, 0o644)
	} else if temp := filepath.Join(a.dir, "temp"); os.WriteFile(temp, text, 0o644) == nil {
		_ = os.Rename(temp, a.file)
	}
	if rnd.IntN(2) == 0 {
		a.mutate(rnd)
	}
	a.applyTimes(1)
}

func (a *arena) trouble(reload, check string) {
	a.liftTroubles()
	a.troubles.Store(&troubles{reload: reload, check: check, over: make(chan struct{})})
}

func (a *arena) liftTroubles() {
	old := a.troubles.Swap(&troubles{over: make(chan struct{})})
	close(old.over)
}

func (a *arena) failReload(rnd *rand.Rand) {
	a.trouble([]string{"fail", "hang"}[rnd.IntN(2)], "")
	a.lines(rnd)
	a.age(2 * time.Second)
	a.members(rnd)
}

func (a *arena) failCheck(rnd *rand.Rand) {
	a.trouble("", "fail")
	a.lines(rnd)
	a.members(rnd)
}

func (a *arena) mendAll() {
	a.liftTroubles()
	a.relay.countdown.Store(0)
}
