package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"smartstack/haproxy/socket"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

// impatient syncs for a moment only.
func (r *rig) impatient(want *Section) error {
	ctx, cancel := context.WithTimeout(r.tb.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := r.rt.Sync(ctx, r.model(want), nil)
	return err
}

// Who holds a connection works on when others have taken all the rest. Who comes
// later is told, and served when there is room.
func TestTheSocketsMaxconnIsReached(t *testing.T) {
	one := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	two := runSection("web", nil, one.Servers[0], srv("b", "127.0.0.1:9", 2, ""))
	r := newRig(t, nil, one)
	r.sync(one)
	var others []net.Conn
	for range 20 { // the default is 10
		c, err := net.Dial("unix", r.sock)
		if errors.Is(err, syscall.EAGAIN) {
			break // not even to wait
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "prompt\n"); err != nil {
			t.Fatal(err)
		}
		others = append(others, c)
	}
	r.sync(two)
	r.heir("")
	if err := r.impatient(one); err == nil || !strings.Contains(err.Error(), "too many connections") && !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("error %v", err)
	}
	for _, c := range others {
		_ = c.Close()
	}
	servers.Eventually(t, func() error {
		if err := r.impatient(one); err != nil {
			return err
		}
		r.loaded["web"] = one.Text
		r.sync(two)
		if got := r.rotation("web"); got != "a b" {
			return errors.New(got)
		}
		return nil
	})
}

// HAProxy without a file descriptor to spare takes no new connection, but goes
// on being changed over the one that it has.
func TestHAProxyIsOutOfFileDescriptors(t *testing.T) {
	one := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	two := runSection("web", nil, one.Servers[0], srv("b", "127.0.0.1:9", 2, ""))
	r := newRig(t, nil, one)
	r.sync(one)
	info, err := socket.ParseInfo(r.cli("show info"))
	if err != nil {
		t.Fatal(err)
	}
	was := limitDescriptors(t, info.PID, syscall.Rlimit{Cur: 3})
	restore := func() { limitDescriptors(t, info.PID, was) }
	defer restore()
	r.sync(two)
	if got := r.rotation("web"); got != "a b" {
		t.Fatal(got)
	}
	r.heir("")
	if err := r.impatient(two); err == nil {
		t.Fatal("a new connection is answered")
	}
	restore()
	servers.Eventually(t, func() error { return r.impatient(two) })
	if res := r.sync(two); len(res.Refusals) > 0 || r.rotation("web") != "a b" {
		t.Fatalf("%+v %s", res, r.rotation("web"))
	}
}

// limitDescriptors sets the soft limit of a process, and returns what it was.
func limitDescriptors(t *testing.T, pid int, to syscall.Rlimit) (was syscall.Rlimit) {
	t.Helper()
	prlimit := func(to, was *syscall.Rlimit) {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_NOFILE,
			uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(was)), 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	prlimit(nil, &was)
	prlimit(&syscall.Rlimit{Cur: to.Cur, Max: was.Max}, nil)
	return was
}

// Replies that come byte by byte are read like others.
func TestASlowSocket(t *testing.T) {
	one := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, one)
	m := newMeddler(t, r)
	m.slow.Store(true)
	r.sync(one)
	list := one.Servers
	for i := range 20 {
		list = append(list, srv(fmt.Sprint("n", i), "127.0.0.1:9", 2+i, "check inter 1h"))
	}
	all := runSection("web", nil, list...)
	if res := r.sync(all); res.String() != "20 add" {
		t.Fatalf("%v %+v", res, res.Reasons)
	}
	r.compareNow()
	if res := r.sync(all); len(res.Steps) > 0 {
		t.Fatalf("%v", res)
	}
}

// An id that somebody has taken by hand is no reason for a reload.
func TestAnIDTakenByHand(t *testing.T) {
	one := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, one)
	r.sync(one)
	r.cli("add server web/thief 127.0.0.1:9 id 2")
	two := runSection("web", nil, one.Servers[0], srv("b", "127.0.0.1:9", 2, ""))
	if res := r.sync(two); len(res.Reasons) > 0 || r.rotation("web") != "a b" {
		t.Fatalf("%+v %s", res, r.rotation("web"))
	}
	r.tendNow()
	r.sync(two)
	if _, there := r.states("web")["thief"]; there {
		t.Errorf("%+v", r.states("web"))
	}
	r.compareNow()
	if res := r.sync(two); len(res.Steps)+len(res.Reasons) > 0 {
		t.Errorf("%v %+v", res, res.Reasons)
	}
}

// The longest names that a registry may hand us go into the file and over the
// socket.
func TestNamesAtTheLimit(t *testing.T) {
	b := service.Backend{Name: strings.Repeat("n", 255), Host: strings.Repeat("1234567890.", 22) + "localhost", Port: 65535}
	b.Host = b.Host[len(b.Host)-min(len(b.Host), 253):]
	if got := service.SetOf(b); got.Len() != 1 {
		t.Fatalf("%d backends of one with long names", got.Len())
	}
	b.Host = "127.0.0.1"
	name := serverNames([]service.Backend{b}, nil)[0]
	one := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	all := runSection("web", nil, one.Servers[0], srv(name, "127.0.0.1:65535", 2, "check inter 1h "+strings.Repeat("no-check check ", 20)))
	check(t, (&rig{sock: t.TempDir() + "/s", addr: "127.0.0.1:1"}).model(all))
	r := newRig(t, nil, one)
	r.sync(one)
	if res := r.sync(all); len(res.Reasons) > 0 || r.rotation("web") != "a "+name {
		t.Fatalf("%+v %s", res, r.rotation("web"))
	}
	r.sync(one)
	r.tendNow()
	r.sync(one)
	if got := r.states("web"); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// Two HAProxies with a socket each are looked after as one.
func TestSeveralSocketsOfOneOutput(t *testing.T) {
	st := newStory(t, 3)
	dir, err := os.MkdirTemp("", "hap")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	st.options.DoSocket = true
	st.options.SocketFilePath = []string{dir + "/1", dir + "/2"}
	st.options.Global = []string{`stats socket "${WHICH}" level admin`, "stats timeout 1h"}
	st.options.Defaults = []string{"mode http", "timeout connect 1s", "timeout client 5s", "timeout server 5s"}
	st.options.BindAddress, st.services[0].Options.Port = "unix@${WHICH}f", config.Optional[string]{Set: true, Null: true}
	t.Setenv("WHICH", dir+"/0") // for the check
	st.open()
	st.want(0)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		_, err := os.Stat(st.file)
		return err
	})
	var both []*servers.Process
	for _, path := range st.options.SocketFilePath {
		t.Setenv("WHICH", path)
		both = append(both, servers.HAProxy(t, st.file, path+"f"))
	}
	st.reloadWith(fmt.Sprintf("kill -USR2 %d %d", both[0].PID(), both[1].PID()))
	same := func(numbers ...int) {
		t.Helper()
		st.want(numbers...)
		servers.Eventually(t, func() error {
			st.apply(st.now)
			if s := st.out.Status(); s.Applied != st.rev || s.Written != st.rev || len(s.Faults) > 0 {
				return fmt.Errorf("%+v", s)
			}
			for _, path := range st.options.SocketFilePath {
				if got, err := inRotation(t, path); err != nil || got != len(numbers) {
					return fmt.Errorf("%s: %d in rotation, %w", path, got, err)
				}
			}
			return nil
		})
	}
	same(0)
	// A process that comes up just after a write may have loaded the file before
	// it, and is reloaded for that.
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if m := st.out.memory; time.Since(m.lastWrite) < loadTime || time.Since(m.lastReload.At) < loadTime {
			return errors.New("the processes may still be loading")
		}
		return nil
	})
	same(0)
	before := st.out.Status().Reloads
	same(0, 1)
	same(1, 2)
	if n := st.out.Status().Reloads; n != before {
		t.Errorf("%d reloads: %v", n-before, st.out.Status().LastReload)
	}
	// One of them dies, and comes back with an old file.
	both[1].Stop()
	st.want(2)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if got, err := inRotation(t, st.options.SocketFilePath[0]); err != nil || got != 1 {
			return fmt.Errorf("%d in rotation, %w: one that is away holds up the other", got, err)
		}
		return nil
	})
	both[1].Start()
	st.reloadWith(fmt.Sprintf("kill -USR2 %d %d", both[0].PID(), both[1].PID()))
	same(2)
}

// inRotation counts the servers of web that serve.
func inRotation(t *testing.T, path string) (n int, err error) {
	c := socket.New(path)
	defer c.Close()
	replies, err := c.Do(t.Context(), []string{"show servers state web"})
	if err != nil {
		return 0, err
	}
	states, err := socket.ParseServersState(replies[0])
	for i := range states {
		if serves(&states[i]) {
			n++
		}
	}
	return n, err
}
