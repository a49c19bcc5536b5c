package zkconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"smartstack/internal/secret"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, pool *Pool, e Ensemble) *Conn {
	t.Helper()
	c, err := pool.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// dial opens a session of its own.
func dial(t testing.TB, addr string, timeout time.Duration) *Conn {
	return open(t, NewPool(quiet()), Ensemble{Hosts: []string{addr}, SessionTimeout: timeout})
}

func done[T any](t testing.TB, p *Pending[T], err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func create(t testing.TB, c *Conn, node, data string, mode Mode) string {
	t.Helper()
	p, err := c.Create(t.Context(), node, []byte(data), mode)
	return done(t, p, err)
}

// awaitState waits for a state that ok accepts, by its announcements.
func awaitState(t testing.TB, c *Conn, ok func(State) bool) State {
	t.Helper()
	end := time.After(servers.Deadline)
	for {
		st := c.State()
		if ok(st) {
			return st
		}
		select {
		case <-st.Changed:
		case <-end:
			t.Fatalf("state is still %+v", st)
		}
	}
}

// awaitEvent waits until the subscription has heard kind of node.
func awaitEvent(t testing.TB, sub *Subscription, node string, kind Kind) {
	t.Helper()
	end := time.After(servers.Deadline)
	for {
		if sub.Take()[node]&kind != 0 {
			return
		}
		select {
		case <-sub.Wake():
		case <-end:
			t.Fatalf("no event %b of %s", kind, node)
		}
	}
}

func TestSessionsAreShared(t *testing.T) {
	zk := servers.ZooKeeper(t)
	pool := NewPool(quiet())
	e := Ensemble{Hosts: []string{zk.Addr}}
	one, two := open(t, pool, e), open(t, pool, Ensemble{Hosts: []string{zk.Addr + "/"}})
	other := open(t, pool, Ensemble{Hosts: []string{zk.Addr}, SessionTimeout: 10 * time.Second})
	if one.session != two.session {
		t.Error("the same ensemble got two sessions")
	}
	if one.session == other.session {
		t.Error("another timeout got the same session")
	}
	create(t, one, "/e", "", Ephemeral)
	one.Close()
	one.Close()
	if st, err := two.Exists(t.Context(), "/e"); err != nil || st == nil {
		t.Errorf("the session ended with its first holder: %v %v", st, err)
	}
	two.Close()
	if st, err := other.Exists(t.Context(), "/e"); err != nil || st != nil {
		t.Errorf("the session did not end with its last holder: %v %v", st, err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 30*time.Second)
	create(t, c, "/n", "", Persistent)
	late := func(what string) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.Get(ctx, "/n")
		if !IsLink(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v, want a LinkError by deadline", what, err)
		}
		if err != nil && !strings.Contains(err.Error(), zk.Addr) {
			t.Errorf("%s: the error does not name the ensemble: %v", what, err)
		}
		if _, err := GetMany(ctx, c, []string{"/n"}, func(int) bool { return false }, func(_ int, n Node) int { return 1 }); !IsLink(err) {
			t.Errorf("%s: GetMany: %v", what, err)
		}
	}
	zk.Pause()
	late("paused")
	zk.Resume()
	zk.Stop()
	awaitState(t, c, func(st State) bool { return !st.Connected })
	late("stopped")
	zk.Start()
	if _, err := c.Get(t.Context(), "/n"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestServerThatComesLater(t *testing.T) {
	zk := servers.ZooKeeper(t)
	zk.Stop()
	c := dial(t, zk.Addr, 5*time.Second)
	servers.Eventually(t, func() error {
		if err := c.State().Err; err == nil || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("the reason is not told: %v", err)
		}
		return nil
	})
	zk.Start()
	st := awaitState(t, c, func(st State) bool { return st.Connected })
	if st.Session != 1 || st.Link != 1 || st.Err != nil {
		t.Errorf("got %+v, want the first session over the first link", st)
	}
}

func TestRestartedServerKeepsTheSession(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 30*time.Second)
	create(t, c, "/e", "", Ephemeral)
	before := c.State()
	zk.Stop()
	awaitState(t, c, func(st State) bool { return !st.Connected })
	zk.Start()
	st := awaitState(t, c, func(st State) bool { return st.Connected })
	if st.Session != before.Session || st.ID != before.ID || st.Link <= before.Link {
		t.Errorf("got %+v after %+v, want the same session over a new link", st, before)
	}
	if stat, err := c.Exists(t.Context(), "/e"); err != nil || stat == nil || stat.EphemeralOwner != st.ID {
		t.Errorf("the ephemeral node: %+v, %v", stat, err)
	}
}

func TestExpiredSessionIsFollowedByANewOne(t *testing.T) {
	zk := servers.ZooKeeper(t)
	witness := dial(t, zk.Addr, 30*time.Second)
	p := servers.StartProxy(t, zk.Addr)
	c := dial(t, p.Addr(), 400*time.Millisecond)
	create(t, c, "/e", "", Ephemeral)
	sub := witness.Subscribe("/e")
	defer sub.Close()
	if _, err := witness.ExistsW(t.Context(), "/e"); err != nil {
		t.Fatal(err)
	}
	before := c.State()
	p.Cut()
	awaitEvent(t, sub, "/e", Deleted)
	p.Restore()
	st := awaitState(t, c, func(st State) bool { return st.Connected && st.Session > before.Session })
	if st.ID == before.ID {
		t.Errorf("session %d has the old one's id", st.Session)
	}
	create(t, c, "/e", "", Ephemeral)
}

func TestMissedChangesAreToldAfterAShortBreak(t *testing.T) {
	zk := servers.ZooKeeper(t)
	other := dial(t, zk.Addr, 30*time.Second)
	p := servers.StartProxy(t, zk.Addr)
	c := dial(t, p.Addr(), 30*time.Second)
	for i := range 200 {
		create(t, other, fmt.Sprintf("/n%d", i), "1", Persistent)
	}
	sub := c.Subscribe("/")
	defer sub.Close()
	for round := range 3 {
		for i := range 200 {
			if _, err := c.GetW(t.Context(), fmt.Sprintf("/n%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.ChildrenW(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
		p.Cut()
		awaitState(t, c, func(st State) bool { return !st.Connected })
		for i := range 200 {
			set, err := other.Set(t.Context(), fmt.Sprintf("/n%d", i), []byte("2"), AnyVersion)
			done(t, set, err)
		}
		create(t, other, fmt.Sprintf("/new%d", round), "", Persistent)
		p.Restore()
		var load sync.WaitGroup
		for range 50 { // whose answers must not make the library forget what was missed
			load.Go(func() { _, _ = c.Get(t.Context(), "/n0") })
		}
		heard := map[string]Kind{}
		servers.Eventually(t, func() error {
			for node, kind := range sub.Take() {
				heard[node] |= kind
			}
			if heard["/"]&Children == 0 || len(heard) != 201 {
				return fmt.Errorf("heard of %d nodes, of / %b", len(heard), heard["/"])
			}
			return nil
		})
		load.Wait()
	}
}

func TestHungHostIsLeftForTheNext(t *testing.T) {
	zk := servers.ZooKeeper(t)
	hung, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	for range 4 { // the order is random
		c := open(t, NewPool(quiet()), Ensemble{Hosts: []string{hung.Addr().String(), zk.Addr}, SessionTimeout: time.Second})
		awaitState(t, c, func(st State) bool { return st.Connected })
		c.Close()
	}
}

func TestCloseOfAHungSession(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 30*time.Second)
	awaitState(t, c, func(st State) bool { return st.Connected })
	zk.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	p, err := c.Create(t.Context(), "/x", nil, Ephemeral)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(ctx); !IsLink(err) {
		t.Errorf("got %v", err)
	}
	c.Close()
	<-p.Done() // a request never outlives its session
	if _, err := c.Get(t.Context(), "/x"); !IsLink(err) {
		t.Errorf("a closed session answers %v", err)
	}
}

func TestChroot(t *testing.T) {
	zk := servers.ZooKeeper(t)
	plain := dial(t, zk.Addr, 0)
	c := open(t, NewPool(quiet()), Ensemble{Hosts: []string{zk.Addr + "/in/side"}})
	if err := c.MakePath(t.Context(), "/a/b"); err != nil {
		t.Fatal(err)
	}
	if err := c.MakePath(t.Context(), "/a/b"); err != nil {
		t.Errorf("a path that is there: %v", err)
	}
	sub := c.Subscribe("/a")
	defer sub.Close()
	if _, err := c.ChildrenW(t.Context(), "/a"); err != nil {
		t.Fatal(err)
	}
	if got := create(t, c, "/a/s_", "", EphemeralSequential); got != "/a/s_0000000001" {
		t.Errorf("created %s", got)
	}
	awaitEvent(t, sub, "/a", Children)
	if st, err := plain.Exists(t.Context(), "/in/side/a/b"); err != nil || st == nil {
		t.Errorf("outside: %v %v", st, err)
	}
	if l, err := c.Children(t.Context(), "/"); err != nil || len(l.Names) != 1 || l.Names[0] != "a" {
		t.Errorf("root: %v %v", l, err)
	}
}

func TestCredentials(t *testing.T) {
	p := servers.ZooKeeper(t)
	e := Ensemble{Hosts: []string{p.Addr}, Access: Access{Auth: []secret.Text{"digest:me:secret"}}}
	mine := open(t, NewPool(quiet()), e)
	create(t, mine, "/locked", "x", Persistent)
	if _, err := mine.zk.SetACL("/locked", zk.DigestACL(zk.PermAll, "me", "secret"), AnyVersion); err != nil {
		t.Fatal(err)
	}
	foreign := dial(t, p.Addr, 0)
	if _, err := foreign.Get(t.Context(), "/locked"); !errors.Is(err, ErrNoAuth) || IsLink(err) {
		t.Errorf("without credentials: %v", err)
	}
	p.Stop()
	awaitState(t, mine, func(st State) bool { return !st.Connected })
	p.Start()
	if n, err := mine.Get(t.Context(), "/locked"); err != nil || string(n.Data) != "x" {
		t.Errorf("after a restart: %q, %v", n.Data, err)
	}
}

func TestGetMany(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 30*time.Second)
	var nodes []string
	var creates []*Pending[string]
	for i := range 2000 { // more than may be under way at once
		nodes = append(nodes, fmt.Sprintf("/n%d", i))
		if i%10 != 7 {
			p, err := c.Create(t.Context(), nodes[i], []byte(nodes[i]), Persistent)
			if err != nil {
				t.Fatal(err)
			}
			creates = append(creates, p)
		}
	}
	for _, p := range creates {
		done(t, p, nil)
	}
	got, err := GetMany(t.Context(), c, nodes, func(i int) bool { return i == 5 }, func(_ int, n Node) string { return string(n.Data) })
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if (v == nil) != (i%10 == 7) || v != nil && *v != nodes[i] {
			t.Fatalf("%s: got %v", nodes[i], v)
		}
	}
	sub := c.Subscribe("/n5")
	defer sub.Close()
	set, err := c.Set(t.Context(), "/n5", nil, AnyVersion)
	done(t, set, err)
	awaitEvent(t, sub, "/n5", Changed)
}

func TestOversizedRequestIsRefused(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 30*time.Second)
	p, err := c.Create(t.Context(), "/big", make([]byte, maxRequest), Persistent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err == nil || IsLink(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Children(t.Context(), "/"); err != nil {
		t.Errorf("the session is no longer of use: %v", err)
	}
}

func TestClaims(t *testing.T) {
	c := dial(t, "127.0.0.1:1", time.Second)
	if !c.Claim("/a") || c.Claim("/a") || !c.Claim("/b") {
		t.Error("a claim is not exclusive")
	}
	c.Unclaim("/a")
	if !c.Claim("/a") {
		t.Error("a returned claim stays taken")
	}
	c.Share("/a")
	c.Unclaim("/a")
	if c.Claim("/a") {
		t.Error("one of two who share a node has given it up for both")
	}
}

// Servers that were made anew know less than the session has seen, and close
// the door on it: "client must try another server". There is no other.
func TestServersMadeAnew(t *testing.T) {
	zk := servers.ZooKeeper(t)
	c := dial(t, zk.Addr, 3*time.Second)
	write := func(times int) {
		t.Helper()
		servers.Eventually(t, func() error { // on a busy machine a link may break
			for ; times > 0; times-- {
				p, err := c.Create(t.Context(), "/seen-", nil, PersistentSequential)
				if err != nil {
					return err
				}
				if _, err := p.Wait(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	write(5)
	before := c.State()
	zk.Stop()
	zk.Wipe()
	zk.Start()
	awaitState(t, c, func(s State) bool { return s.Connected && s.Session > before.Session })
	write(1)
}
