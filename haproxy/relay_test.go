package haproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/haproxy/socket"
)

// guard watches that steady servers are in rotation.
type guard struct {
	mu     sync.Mutex
	steady map[ServerRef]bool
	bad    string
}

func (g *guard) set(steady map[ServerRef]bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.steady = steady
}

func (g *guard) drop(gone func(ServerRef) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for r := range g.steady {
		if gone(r) {
			delete(g.steady, r)
		}
	}
}

func (g *guard) violation() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bad
}

// look compares what runs with what must.
func (g *guard) look(states []socket.ServerState, when string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	serving := map[ServerRef]bool{}
	for i := range states {
		if s := &states[i]; serves(s) {
			serving[ServerRef{s.Backend, s.Name}] = true
		}
	}
	for r := range g.steady {
		if !serving[r] && g.bad == "" {
			g.bad = fmt.Sprintf("%v was in all snapshots and left rotation after %q", r, when)
		}
	}
}

// relay stands between synapse and HAProxy. It looks at HAProxy after every
// command that changes it, and can fail at any command.
type relay struct {
	path      string
	a         *arena
	countdown atomic.Int64
	fault     atomic.Value // string
	commands  atomic.Int64
}

func newRelay(t *testing.T, path string, a *arena) *relay {
	r := &relay{path: path, a: a}
	r.fault.Store("")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				r.serve(ctx, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); cancel(); all.Wait() })
	return r
}

func (r *relay) serve(ctx context.Context, client net.Conn) {
	server, err := net.Dial("unix", r.a.sock)
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	watch := socket.New(r.a.sock)
	defer watch.Close()
	life := r.a.life.Load()
	out, in := io.Pipe()
	copied := make(chan struct{})
	go func() { // HAProxy's end is the end for synapse too, also between two commands
		defer close(copied)
		_, err := io.Copy(in, server)
		_ = in.CloseWithError(err)
		_ = client.Close()
	}()
	defer func() { _ = server.Close(); _ = out.Close(); <-copied }()
	from, back := bufio.NewReader(client), bufio.NewReader(out)
	for {
		cmd, err := from.ReadString('\n')
		if err != nil {
			return
		}
		fault := ""
		if r.countdown.Add(-1) == 0 {
			fault = r.fault.Load().(string)
		}
		changes := changesHAProxy(cmd)
		if changes {
			r.commands.Add(1)
			r.a.trace("%s%s", strings.TrimSpace(cmd), map[bool]string{true: "   !" + fault}[fault != ""])
		}
		switch fault {
		case "refuse":
			if _, err := io.WriteString(client, "Not today.\n\n> "); err != nil {
				return
			}
			continue
		case "die before":
			life.dead.Store(true)
			return
		case "close before":
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
		if changes {
			r.observe(ctx, watch, strings.TrimSpace(cmd))
			if body := strings.TrimSpace(strings.TrimSuffix(text, "> ")); body != "" {
				r.a.trace("   %s", body)
			}
		}
		switch fault {
		case "die after":
			life.dead.Store(true)
			return
		case "close after":
			return
		case "half":
			_, _ = io.WriteString(client, text[:len(text)/2])
			return
		case "garbage":
			text = "\x00\xff<html>" + text
		}
		if _, err := io.WriteString(client, text); err != nil {
			return
		}
	}
}

func changesHAProxy(cmd string) bool {
	for _, p := range []string{"set server ", "add server ", "del server ", "enable ", "disable ", "shutdown "} {
		if strings.HasPrefix(cmd, p) {
			return true
		}
	}
	return false
}

func (r *relay) observe(ctx context.Context, c *socket.Client, when string) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	replies, err := c.Do(ctx, []string{"show info", "show servers state"})
	if err != nil {
		return
	}
	info, err := socket.ParseInfo(replies[0])
	if err != nil || info.Stopping {
		return
	}
	if states, err := socket.ParseServersState(replies[1]); err == nil {
		r.a.guard.look(states, when)
	}
}
