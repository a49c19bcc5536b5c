package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/test/servers"
)

// meddler stands between a Runtime and the real HAProxy and does to the
// countdown-th command from now what fault says.
type meddler struct {
	path      string
	countdown atomic.Int64
	fault     atomic.Value // string
	seen      atomic.Value // func(cmd string)
	slow      atomic.Bool  // replies come byte by byte
}

func newMeddler(t *testing.T, r *rig) *meddler {
	m := &meddler{path: filepath.Join(r.dir, "m")}
	m.fault.Store("")
	m.seen.Store(func(string) {})
	l, err := net.Listen("unix", m.path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); m.relay(c, r.sock) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); _ = r.rt.Close(); all.Wait() })
	o := r.rt.o
	o.Sockets = []string{m.path}
	_ = r.rt.Close()
	r.rt = NewRuntime(o, slog.New(slog.DiscardHandler))
	return m
}

func (m *meddler) relay(client net.Conn, path string) {
	server, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer server.Close()
	from, back := bufio.NewReader(client), bufio.NewReader(server)
	for {
		cmd, err := from.ReadString('\n')
		if err != nil {
			return
		}
		m.seen.Load().(func(string))(strings.TrimSpace(cmd))
		fault := ""
		if m.countdown.Add(-1) == 0 {
			fault = m.fault.Load().(string)
		}
		if fault == "refuse" {
			if _, err := io.WriteString(client, "Not today.\n\n> "); err != nil {
				return
			}
			continue
		}
		if fault == "close before" {
			return
		}
		if _, err := io.WriteString(server, cmd); err != nil {
			return
		}
		var reply strings.Builder
		for !strings.HasSuffix(reply.String(), "\n> ") {
			b, err := back.ReadByte()
			if err != nil {
				return
			}
			reply.WriteByte(b)
		}
		text := reply.String()
		switch fault {
		case "close after":
			return
		case "half":
			_, _ = io.WriteString(client, text[:len(text)/2])
			return
		case "garbage":
			text = "\x00\xff<html>" + text
		}
		for m.slow.Load() && len(text) > 1 {
			if _, err := io.WriteString(client, text[:1]); err != nil {
				return
			}
			text = text[1:]
		}
		if _, err := io.WriteString(client, text); err != nil {
			return
		}
	}
}

// Whatever happens on the socket, in the middle of whatever command: nothing
// that serves and stays leaves rotation for good, and the next calls bring
// HAProxy to what is wanted.
func TestFaultsOnTheSocketAreMended(t *testing.T) {
	seed := uint64(1)
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	keep := srv("keep", "127.0.0.1:9", 1, "")
	r := newRig(t, nil, runSection("web", nil, keep))
	m := newMeddler(t, r)
	world := make([]Server, 6)
	for i := range world {
		world[i] = srv(fmt.Sprintf("s%d", i), fmt.Sprintf("127.0.0.1:%d", 20000+i), i+2, "")
	}
	present := map[int]bool{}
	faults := []string{"refuse", "close before", "close after", "half", "garbage"}
	for round := range 150 {
		for range 1 + rnd.IntN(4) {
			mutate(rnd, world, present)
		}
		list := []Server{keep}
		for i := range world {
			if present[i] {
				list = append(list, world[i])
			}
		}
		sec := runSection("web", nil, list...)
		fault, n := faults[rnd.IntN(len(faults))], 1+rnd.Int64N(14)
		m.fault.Store(fault)
		m.countdown.Store(n)
		where := fmt.Sprintf("seed %d round %d: %s at %d", seed, round, fault, n)
		loaded := func(s string) []byte { return r.loaded[s] }
		if rnd.IntN(2) == 0 {
			r.tendNow()
		}
		_, _ = r.rt.Sync(t.Context(), r.model(sec), loaded)
		if is := r.states("web")["keep"]; !serves(&is) {
			t.Fatalf("%s: keep left rotation: %+v", where, is)
		}
		m.countdown.Store(0)
		r.rt.procs[0].known.refused = nil // as after a while
		servers.Eventually(t, func() error {
			r.compareNow()
			before := r.states("web")
			res, err := r.rt.Sync(t.Context(), r.model(sec), loaded)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			if err := equalRunning(sec, r.states("web"), before, r.backups(), res); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			return nil
		})
		r.loaded["web"] = sec.Text
	}
}

// A server that was added and not brought into rotation is tried again at once:
// the file must not say that it serves while only we know why it does not.
func TestARefusedEnableIsTriedAtOnce(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, web)
	m := newMeddler(t, r)
	r.sync(web)
	m.fault.Store("refuse")
	m.seen.Store(func(cmd string) {
		if strings.HasPrefix(cmd, "enable server web/b") {
			m.countdown.Store(1)
		}
	})
	more := runSection("web", nil, web.Servers[0], srv("b", "127.0.0.1:9", 2, ""))
	if res := r.sync(more); !res.Again || r.rotation("web") != "a" {
		t.Fatalf("%+v", res)
	}
	if res := r.sync(more); res.Again || r.rotation("web") != "a b" {
		t.Fatalf("%+v", res)
	}
}

// A server whose check was not enabled is not what is wanted, whether HAProxy
// has refused that or never heard of it.
func TestAHealthCheckThatWasNotEnabledIsMended(t *testing.T) {
	for _, fault := range []string{"refuse", "close before"} {
		t.Run(fault, func(t *testing.T) {
			web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
			r := newRig(t, nil, web)
			m := newMeddler(t, r)
			r.sync(web)
			m.fault.Store(fault)
			m.seen.Store(func(cmd string) {
				if strings.HasPrefix(cmd, "enable health web/b") {
					m.countdown.Store(1)
				}
			})
			more := runSection("web", nil, web.Servers[0], srv("b", "127.0.0.1:9", 2, "check inter 1h"))
			_, err := r.rt.Sync(t.Context(), r.model(more), func(s string) []byte { return r.loaded[s] })
			if (err != nil) != (fault == "close before") {
				t.Fatal(err)
			}
			m.fault.Store("")
			r.rt.procs[0].known.refused = nil // as after a while
			servers.Eventually(t, func() error {
				r.compareNow()
				r.sync(more)
				stats, err := socket.ParseStat(r.cli("show stat web 4 -1"))
				if err != nil || len(stats) != 2 || stats[1].Status == "no check" || r.rotation("web") != "a b" {
					return fmt.Errorf("%+v %v", stats, err)
				}
				return nil
			})
		})
	}
}

// A process that could not be looked at in full is still one that nobody knows.
func TestAProcessIsMetAlthoughTheFirstLookFailed(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, web)
	m := newMeddler(t, r)
	m.fault.Store("garbage")
	m.seen.Store(func(cmd string) {
		if cmd == "show stat" {
			m.countdown.Store(1)
		}
	})
	loaded := func(string) []byte { return web.Text }
	if res, err := r.rt.Sync(t.Context(), r.model(web), loaded); err == nil || len(res.Met) > 0 {
		t.Fatalf("%+v %v", res, err)
	}
	m.fault.Store("")
	if res, err := r.rt.Sync(t.Context(), r.model(web), loaded); err != nil || len(res.Met) != 1 {
		t.Fatalf("%+v %v", res, err)
	}
}

func TestAHangingHAProxyIsAnErrorInTime(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	r := newRig(t, nil, web)
	r.sync(web)
	r.proc.Pause()
	servers.Eventually(t, func() error { // the signal takes its time
		r.compareNow()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := r.rt.Sync(ctx, r.model(web), nil); !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("not a timeout: %v", err)
		}
		return nil
	})
	r.proc.Resume()
	r.compareNow()
	r.sync(web)
}

func TestSeveralSocketsAreServedEachForItself(t *testing.T) {
	web := runSection("web", nil, srv("a", "127.0.0.1:9", 1, ""))
	one, two := newRig(t, nil, web), newRig(t, nil, web)
	o := one.rt.o
	o.Sockets = []string{one.sock, filepath.Join(one.dir, "none"), two.sock}
	one.rt = NewRuntime(o, slog.New(slog.DiscardHandler))
	defer one.rt.Close()
	more := runSection("web", nil, web.Servers[0], srv("b", "127.0.0.1:9", 2, ""), srv("bad", "127.0.0.1:9", 3, "non-stick"))
	res, err := one.rt.Sync(t.Context(), one.model(more), func(string) []byte { return web.Text })
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Fatal(err)
	}
	if one.rotation("web") != "a b" || two.rotation("web") != "a b" || len(res.Reasons) != 1 {
		t.Fatalf("%s, %s, %+v", one.rotation("web"), two.rotation("web"), res)
	}
}

func TestHAProxy24NeedsItsExperimentalMode(t *testing.T) {
	r := newRig(t, nil, runSection("web", nil))
	m := newMeddler(t, r)
	var cmds []string
	m.seen.Store(func(cmd string) { cmds = append(cmds, cmd) })
	p := r.rt.procs[0]
	p.info.Version = "2.4.1"
	replies, err := send(t.Context(), p.client, p.info, []string{"add server web/x 127.0.0.1:1 id 5", "show info"})
	if err != nil || len(replies) != 2 || !strings.Contains(replies[0], "registered") || !strings.Contains(replies[1], "Pid") {
		t.Fatal(replies, err)
	}
	if got := strings.Join(cmds[2:4], ","); got != experimental+",add server web/x 127.0.0.1:1 id 5" {
		t.Fatal(got)
	}
}
