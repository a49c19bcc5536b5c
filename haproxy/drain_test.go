package haproxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/test/servers"
)

func TestDrainOptionsReachTheRuntime(t *testing.T) {
	b := newBed(t, "web")
	b.options.DoSocket, b.options.SocketFilePath = true, []string{"/nonexistent/socket"}
	b.open()
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	was := b.out.memory.runtime
	o := b.options
	o.DrainTime, o.DrainCut = config.Seconds(3*time.Second), true
	var err error
	if b.out, err = b.out.Reconfigured(o, b.services); err != nil {
		t.Fatal(err)
	}
	b.apply(b.snapshot(map[string]string{"web": "1"}))
	if rt := b.out.memory.runtime; rt != was || rt.o.DrainTime != 3*time.Second || !rt.o.CutSessions {
		t.Errorf("%+v", b.out.memory.runtime.o)
	}
}

// A connection through one service survives 200 changes of other services and
// of its own other servers, in the same HAProxy, without a reload.
func TestALongConnectionSurvivesTwoHundredChanges(t *testing.T) {
	a := newArena(t)
	defer a.leave()
	for _, d := range a.world {
		d.pool = d.pool[:6]
	}
	echo, name := a.world["s0"].pool[0], "s0"
	echo.Port = echoing(t)
	front := a.dir + "/long"
	a.options.ExtraSections = append(a.options.ExtraSections, config.Map[[]string]{{
		Key: "frontend long", Value: []string{"mode tcp", "bind unix@" + front, "timeout client 1h", "default_backend " + name},
	}}...)
	for i := range a.services {
		a.services[i].Options.Backend = []string{"mode tcp", "timeout server 1h"}
		a.services[i].Options.Port = config.Optional[string]{} // a frontend would be of another mode
	}
	next, err := a.out.Reconfigured(a.options, a.services)
	if err != nil {
		t.Fatal(err)
	}
	a.out = next
	for _, s := range a.world[name].pool[1:] {
		s.here = false
	}
	a.touch(name, nil)
	servers.Eventually(t, func() error {
		a.age(time.Second)
		a.apply(servers.Deadline)
		// A reload may be still under way when its new process is met.
		if st := a.out.Status(); len(st.Waiting) > 0 || st.Written != a.rev || a.out.memory.job != nil {
			return fmt.Errorf("%+v", st)
		}
		_, err := os.Stat(front)
		return err
	})
	conn, err := net.Dial("unix", front)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(text string) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(servers.Deadline))
		back := make([]byte, len(text))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, back); err != nil || string(back) != text {
			t.Fatal(string(back), err)
		}
	}
	say("first")
	_ = a.side.Close() // it may lead to the process before
	pid, reloads := pidOf(t.Context(), a.side), a.reloads.Load()
	for i := range 200 {
		d := a.world[a.services[i%3].Name]
		s := d.pool[1+i/3%5]
		switch i % 4 {
		case 3:
			s.ServerOptions = fmt.Sprintf("weight %d", 1+i%9)
		default:
			s.here = !s.here
		}
		d.made, a.stale = nil, true
		a.age(time.Second)
		a.apply(servers.Deadline)
		say(fmt.Sprintf("after change %d", i))
	}
	_ = a.side.Close()
	if now := pidOf(t.Context(), a.side); pid == 0 || now != pid || a.reloads.Load() != reloads {
		t.Errorf("HAProxy %d became %d, %d reloads:\n%s", pid, now, a.reloads.Load()-reloads, a.story())
	}
	servers.Eventually(t, func() error {
		a.age(time.Second)
		a.apply(servers.Deadline)
		backends, _, err := look(a, a.side)
		if err == nil && !strings.Contains(fmt.Sprint(backends[name]), fmt.Sprint(echo.Port)) {
			err = errors.New("the server of the connection is gone")
		}
		return err
	})
}

// echoing answers with what it is sent.
func echoing(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.1.1:0")
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
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}
