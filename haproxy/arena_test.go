package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// arena is an Output with a real HAProxy, a relay between them that can fail,
// and a world that changes.
type arena struct {
	t      *testing.T
	dir    string
	file   string // what the Output writes
	link   string // what HAProxy reads: leads to file, or for a moment to an old one
	sock   string
	proc   *servers.Process
	master atomic.Value // path of proc's master socket
	side   *socket.Client

	options  Options
	services []ServiceConfig
	world    map[string]*district
	rev      uint64
	snap     service.Snapshot
	stale    bool // snap is not the world

	out    *Output
	life   atomic.Pointer[life]
	relay  *relay
	guard  *guard
	log    *lockedLog
	failed error

	operated  map[ServerRef]bool // an operator has touched them since the last restart
	leftovers atomic.Bool        // HAProxy may have services of an old file that synapse cannot know
	disturbed atomic.Bool        // ids in HAProxy may not be those of the file
	edited    bool               // the file is not ours
	copies    []string           // files of the past
	reloads   atomic.Int64
	troubles  atomic.Pointer[troubles]

	applies, calms, watched int
}

// troubles are the faults outside of the socket that are in force.
type troubles struct {
	reload, check string
	over          chan struct{} // closed at their end
}

// district is one service of the world.
type district struct {
	here bool
	pool []*spot
	made *service.Service // of the newest snapshot; nil = changed
}

// spot is a backend that may be there.
type spot struct {
	here bool
	service.Backend
	bad bool // its options are ones that HAProxy refuses
}

// life is one run of synapse, which may be ended in the middle of anything.
type life struct {
	dead      atomic.Bool
	countdown atomic.Int64 // hooks until it dies
	parked    chan struct{}
	park      sync.Once
	release   chan struct{}
}

// at is the hook. A job that has died waits until nobody looks at it any more.
func (l *life) at(step string) {
	if l.countdown.Add(-1) == 0 {
		l.dead.Store(true)
	}
	if !l.dead.Load() {
		return
	}
	if strings.HasPrefix(step, atJob) {
		l.park.Do(func() { close(l.parked) })
		<-l.release
	}
	runtime.Goexit()
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (a *arena) trace(format string, args ...any) {
	fmt.Fprintf(a.log, "%s -- %s\n", time.Now().Format("05.000"), fmt.Sprintf(format, args...))
}

func newArena(t *testing.T) *arena {
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a := &arena{
		t: t, dir: dir, file: filepath.Join(dir, "cfg", "haproxy.cfg"), link: filepath.Join(dir, "link"), sock: filepath.Join(dir, "s"),
		operated: map[ServerRef]bool{}, log: &lockedLog{}, guard: &guard{}, stale: true, world: map[string]*district{},
	}
	if err := os.Mkdir(filepath.Dir(a.file), 0o755); err != nil {
		t.Fatal(err)
	}
	a.point(a.file)
	a.troubles.Store(&troubles{over: make(chan struct{})})
	a.relay = newRelay(t, filepath.Join(dir, "r"), a)
	a.side = socket.New(a.sock)
	t.Cleanup(func() { _ = a.side.Close() })
	a.options = Options{
		Global: append(slices.Repeat([]string{"# so long that a spare of the file is made " + strings.Repeat(".", 1000)}, spareFrom/1000),
			"stats socket "+a.sock+" level admin expose-fd listeners", "stats timeout 1h", "hard-stop-after 1s"),
		Defaults: []string{
			"mode http", "timeout connect 1s", "timeout client 5s", "timeout server 5s", "default-server init-addr last,libc,none",
		},
		ExtraSections: config.Map[[]string]{{Key: "frontend rig", Value: []string{"bind unix@" + dir + "/f"}}},
		DoWrites:      true, ConfigFilePath: a.file, DoReloads: true, DoSocket: true, SocketFilePath: []string{a.relay.path},
		HAProxyPath: servers.HAProxyBin(t), CheckTimeout: config.Seconds(servers.Deadline),
		StateFilePath: filepath.Join(dir, "state.json"), MaxServerID: 65535,
	}
	port := listen(t)
	for s := range 4 {
		name := fmt.Sprintf("s%d", s)
		p := &district{here: s < 3}
		for i := range 10 {
			p.pool = append(p.pool, &spot{here: i < 3, Backend: service.Backend{Name: fmt.Sprintf("n%d", i), Host: fmt.Sprintf("127.0.%d.%d", s+1, i+1), Port: port}})
		}
		p.pool[6].Host, p.pool[7].Host, p.pool[8].Host = "::1", "localhost", "nowhere.invalid"
		p.pool[9].Name = "a@b/ü"
		a.world[name] = p
		cfg := ServiceConfig{Name: name}
		if s%2 == 0 { // with a frontend of its name, as most have
			cfg.Options.Port, cfg.Options.BindAddress = config.Optional[string]{Set: true, Null: true}, "unix@"+dir+"/"+name
		}
		a.services = append(a.services, cfg)
	}
	servers.Eventually(t, func() error {
		a.age(max(quiet, a.apply(servers.Deadline)))
		_, err := os.Stat(a.file)
		return err
	})
	a.proc = servers.HAProxy(t, a.link, filepath.Join(dir, "f"))
	a.master.Store(filepath.Join(a.proc.Dir, "master.sock"))
	a.converge()
	return a
}

// listen accepts what health checks want, on all loopback addresses.
func listen(t *testing.T) int {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

func (a *arena) point(to string) {
	_ = os.Remove(a.link)
	if err := os.Symlink(to, a.link); err != nil {
		a.t.Fatal(err)
	}
}

// leave ends synapse.
func (a *arena) leave() {
	a.mendAll()
	if a.out != nil {
		a.life.Load().dead.Store(true)
		a.bury()
	}
}

func (a *arena) fail(format string, args ...any) {
	if a.failed == nil {
		a.failed = fmt.Errorf(format, args...)
	}
}

// open starts a synapse that knows nothing but what is on the disk.
func (a *arena) open() {
	a.life.Store(&life{parked: make(chan struct{}), release: make(chan struct{})})
	deps := Deps{
		Host: "host", Env: os.Environ(), Reload: a.reload,
		Lookup: lookupLocal,
	}
	out, err := New(a.options, a.services, deps, slog.New(slog.NewTextHandler(a.log, nil)))
	if err != nil {
		a.t.Fatal(err)
	}
	check := newCheck(&a.options, os.Environ())
	out.hook, out.check = a.life.Load().at, func(ctx context.Context, path string, text []byte) (string, error) {
		if a.troubles.Load().check != "" {
			return path, errors.New("the check cannot be done")
		}
		return check(ctx, path, text)
	}
	a.out = out
}

// apply calls Apply once. When synapse dies in it, it is buried.
func (a *arena) apply(limit time.Duration) (again time.Duration) {
	if a.out == nil {
		a.open()
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s, done := a.snapshot(), make(chan struct{})
	var err error
	go func() {
		defer close(done)
		again, err = a.out.Apply(ctx, s)
	}()
	<-done
	a.applies++
	if a.life.Load().dead.Load() {
		a.bury()
		return 0
	}
	if err != nil && ctx.Err() == nil {
		a.fail("Apply: %v", err)
	}
	if v := a.guard.violation(); v != "" {
		a.fail("%s", v)
	}
	return again
}

// bury clears away what the kernel does when a process ends.
func (a *arena) bury() {
	a.trace("synapse is dead")
	if m := a.out.memory; m != nil {
		if m.job != nil {
			m.job.cancel()
			select {
			case <-m.job.done:
			case <-a.life.Load().parked:
			}
		}
		m.publisher.close()
		_ = m.runtime.Close()
	}
	close(a.life.Load().release)
	a.out = nil
}

// reload makes HAProxy load the file, and waits until it has.
func (a *arena) reload(ctx context.Context) error {
	now := a.troubles.Load()
	switch now.reload {
	case "fail":
		return errors.New("no luck")
	case "hang":
		select {
		case <-ctx.Done():
		case <-now.over:
		}
		return errors.New("hung")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c := socket.New(a.sock)
	defer c.Close()
	before := pidOf(ctx, c)
	path, _ := a.master.Load().(string) // empty = HAProxy was never started
	master, err := net.Dial("unix", path)
	for err != nil && path != "" && ctx.Err() == nil { // between two reloads the master starts itself anew
		<-time.After(5 * time.Millisecond)
		master, err = net.Dial("unix", path)
	}
	if err != nil {
		return err
	}
	defer master.Close()
	_ = master.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(master, "reload\n"); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, master)
	for ctx.Err() == nil {
		if now := pidOf(ctx, c); now != 0 && now != before {
			a.reloads.Add(1)
			a.leftovers.Store(false)
			a.disturbed.Store(false) // the new process has the ids of the file
			return nil
		}
		_ = c.Close()
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return errors.New("no new process")
}

// pidOf asks the process that listens now; 0 = it does not answer.
func pidOf(ctx context.Context, c *socket.Client) int {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	replies, err := c.Do(ctx, []string{"show info"})
	if err != nil {
		return 0
	}
	info, err := socket.ParseInfo(replies[0])
	if err != nil || info.Stopping {
		return 0
	}
	return info.PID
}

// age lets time pass for synapse.
func (a *arena) age(d time.Duration) {
	if a.out == nil || a.out.memory == nil {
		return
	}
	m := a.out.memory
	times := []*time.Time{
		&m.pending.first, &m.pending.last, &m.fileRetry, &m.recheck, &m.lastWrite, &m.lastReload.At, &m.downFrom, &m.stateDue, &m.limiter.next, &m.oddUntil,
	}
	if m.job == nil {
		times = append(times, &m.publisher.heldAt)
		for name, e := range m.publisher.hosts.found {
			e.until = e.until.Add(-d)
			m.publisher.hosts.found[name] = e
		}
	}
	for _, p := range m.runtime.procs {
		times = append(times, &p.nextCompare, &p.nextTend)
		for _, l := range p.known.leaving {
			times = append(times, &l.since, &l.stuck)
		}
		for cmd, r := range p.known.refused {
			r.at = r.at.Add(-d)
			p.known.refused[cmd] = r
		}
	}
	for name, e := range m.runtime.hosts.found {
		e.until = e.until.Add(-d)
		m.runtime.hosts.found[name] = e
	}
	for _, t := range times {
		if !t.IsZero() {
			*t = t.Add(-d)
		}
	}
}
