package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/secret"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newWatcher(t testing.TB, o Options) *Watcher {
	t.Helper()
	w, err := New(o, zkconn.NewPool(quiet()), quiet())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// admin is a hand on the registry.
type admin struct {
	tb testing.TB
	*zkconn.Conn
}

func newAdmin(t testing.TB, addr string) admin {
	c, err := zkconn.NewPool(quiet()).Open(zkconn.Ensemble{Hosts: []string{addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return admin{t, c}
}

func (a admin) wait(err error) {
	a.tb.Helper()
	if err != nil {
		a.tb.Fatal(err)
	}
}

func (a admin) create(node, data string, mode zkconn.Mode) string {
	a.tb.Helper()
	a.wait(a.MakePath(a.tb.Context(), path.Dir(node)))
	p, err := a.Create(a.tb.Context(), node, []byte(data), mode)
	a.wait(err)
	made, err := p.Wait(a.tb.Context())
	a.wait(err)
	return made
}

func (a admin) set(node, data string) {
	a.tb.Helper()
	p, err := a.Set(a.tb.Context(), node, []byte(data), zkconn.AnyVersion)
	a.wait(err)
	_, err = p.Wait(a.tb.Context())
	a.wait(err)
}

func (a admin) delete(node string) {
	a.tb.Helper()
	p, err := a.Delete(a.tb.Context(), node, zkconn.AnyVersion)
	a.wait(err)
	_, err = p.Wait(a.tb.Context())
	a.wait(err)
}

// deleteAll removes a node with everything below.
func (a admin) deleteAll(node string) {
	a.tb.Helper()
	l, err := a.Children(a.tb.Context(), node)
	if errors.Is(err, zkconn.ErrNoNode) {
		return
	}
	a.wait(err)
	for _, name := range l.Names {
		a.deleteAll(path.Join(node, name))
	}
	a.delete(node)
}

func payload(host string, port int) string {
	return fmt.Sprintf(`{"host":%q,"port":%d,"name":"i"}`, host, port)
}

// running is a watcher under a minimal supervisor, and what it said.
type running struct {
	tb   testing.TB
	mu   sync.Mutex
	said []service.Update
	errs []error
}

func start(t testing.TB, w *Watcher) *running {
	r := &running{tb: t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := w.Run(ctx, r.hear); err != nil {
				r.mu.Lock()
				r.errs = append(r.errs, err)
				r.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *running) hear(u service.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, u)
}

func (r *running) last() (u service.Update, count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.said); n > 0 {
		return r.said[n-1], n
	}
	return service.Update{}, 0
}

func (r *running) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.errs...)
}

// want waits until the hosts of the newest word are these.
func (r *running) want(hosts ...string) service.Update {
	r.tb.Helper()
	var u service.Update
	servers.Eventually(r.tb, func() error {
		var got []string
		var n int
		u, n = r.last()
		for b := range u.Backends.All() {
			got = append(got, b.Host)
		}
		if n == 0 || strings.Join(got, " ") != strings.Join(hosts, " ") {
			return fmt.Errorf("said %v in %d updates (errors: %v), want %v", got, n, r.failure(), hosts)
		}
		return nil
	})
	return u
}

func (r *running) neverEmpty() {
	r.tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.said {
		if u.Backends.Len() == 0 {
			r.tb.Error("an empty set was published")
		}
	}
}

func TestContract(t *testing.T) {
	contract(t, func(o Options) service.Watcher { return newWatcher(t, o) })
}

func TestPollContract(t *testing.T) {
	contract(t, func(o Options) service.Watcher {
		w, err := NewPoll(PollOptions{Options: o, Interval: config.Seconds(minPoll)}, zkconn.NewPool(quiet()), quiet())
		if err != nil {
			t.Fatal(err)
		}
		return w
	})
}

func contract(t *testing.T, build func(Options) service.Watcher) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	n := 0
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		n++
		root := fmt.Sprintf("/t%d", n)
		hand := admin{t, hand.Conn}
		return watchertest.Registry{
			New: func() service.Watcher {
				return build(Options{Hosts: []string{p.Addr}, Path: root, SessionTimeout: config.Seconds(time.Second)})
			},
			Set: func(backends ...service.Backend) {
				for _, b := range backends {
					node := path.Join(root, b.Name+"_")
					if st, err := hand.Exists(t.Context(), node); err == nil && st == nil {
						hand.create(node, string(service.EncodePayload(b)), zkconn.Persistent)
					}
				}
				hand.wait(hand.MakePath(t.Context(), root))
				l, err := hand.Children(t.Context(), root)
				hand.wait(err)
				for _, name := range l.Names {
					keep := false
					for _, b := range backends {
						keep = keep || name == b.Name+"_"
					}
					if !keep {
						hand.delete(path.Join(root, name))
					}
				}
			},
			SetBad: func() {
				hand.create(root+"/half_", `{"host":"10.0.`, zkconn.Persistent)
				hand.create(root+"/evil_", `{"host":"h\n  bind :1","port":1,"name":"x"}`, zkconn.Persistent)
			},
			Break: func() func() { p.Stop(); return p.Start },
			Silent: func() service.Watcher {
				return build(Options{Hosts: []string{"127.0.0.1:1"}, Path: root, SessionTimeout: config.Seconds(time.Second)})
			},
		}
	})
}

func TestFollowsEveryKindOfChild(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr + "/root"}, Path: "services/web/"}))
	w.want() // the path is made
	if st, err := hand.Exists(t.Context(), "/root/services/web"); err != nil || st == nil || st.DataLength != 0 {
		t.Errorf("the path: %+v, %v", st, err)
	}
	hand.create("/root/services/web/seq_", payload("a", 1), zkconn.EphemeralSequential)
	w.want("a")
	hand.create("/root/services/web/"+encodedName(payload("b", 1)), "not read", zkconn.PersistentSequential)
	w.want("b", "a") // by name of the node
	hand.create("/root/services/web/"+"base64_4_e30=_", payload("c", 1), zkconn.Persistent)
	w.want("b", "c", "a") // a name without a registration falls back to the data
	hand.create("/root/services/web/fixed_", payload("d", 1), zkconn.Persistent)
	w.want("b", "c", "d", "a")
	hand.set("/root/services/web/fixed_", payload("e", 1))
	u := w.want("b", "c", "e", "a")
	if u.Noticed.IsZero() || u.Noticed.After(time.Now()) {
		t.Errorf("the change was told at %v", u.Noticed)
	}
	for b := range u.Backends.All() {
		if b.Host == "a" && b.ID != service.KnownInt(0) || b.Host == "b" && b.ID != service.KnownInt(1) {
			t.Errorf("%s has id %+v", b.Host, b.ID)
		}
	}
	hand.set("/root/services/web/fixed_", "gone mad")
	if u := w.want("b", "c", "a"); u.RejectedTotal != 1 || u.Rejected[0].Entry != "fixed_" {
		t.Errorf("rejected %+v", u.Rejected)
	}
	hand.delete("/root/services/web/fixed_")
	hand.create("/root/services/web/fixed_", payload("f", 1), zkconn.Persistent)
	w.want("b", "c", "f", "a")
	if err := w.failure(); err != nil {
		t.Error(err)
	}
}

func TestChildrenAreReadOnce(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	first := hand.create("/s/i_", payload("a", 1), zkconn.PersistentSequential)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	w.want("a")
	hand.set(first, payload("changed", 1)) // against the convention
	hand.create("/s/i_", payload("b", 1), zkconn.PersistentSequential)
	w.want("a", "b")
	hand.deleteAll("/s") // after which the numbers start again
	hand.create("/s/i_", payload("new", 1), zkconn.PersistentSequential)
	w.want("new")

	all := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", WatchData: "all"}))
	all.want("new")
	hand.set(first, payload("changed", 1))
	all.want("changed")
}

func TestOptionsForOutputs(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	own := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	other := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", GeneratorConfigPath: "/conf/web"}))
	none := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", GeneratorConfigPath: "disabled"}))
	own.want()
	other.want()
	none.want()
	port := func(r *running, want string) service.Update {
		t.Helper()
		var u service.Update
		servers.Eventually(t, func() error {
			u, _ = r.last()
			if got := string(u.Generators["haproxy"]); got != want {
				return fmt.Errorf("options %q, want %q", got, want)
			}
			return nil
		})
		return u
	}
	hand.set("/s", `{"haproxy":{"port":1}}`)
	port(own, `{"port":1}`)
	hand.create("/conf/web", `{"haproxy":{"port":2}}`, zkconn.Persistent)
	port(other, `{"port":2}`)
	hand.set("/s", `{"haproxy":`)
	servers.Eventually(t, func() error {
		if u := port(own, `{"port":1}`); u.RejectedTotal != 1 { // the last that made sense stays
			return fmt.Errorf("rejected %+v", u.Rejected)
		}
		return nil
	})
	hand.set("/s", `{"haproxy":{"port":3}}`)
	if u := port(own, `{"port":3}`); u.RejectedTotal != 0 {
		t.Errorf("rejected %+v", u.Rejected)
	}
	hand.delete("/conf/web")
	port(other, "")
	hand.create("/conf/web", `{"haproxy":{"port":4}}`, zkconn.Persistent)
	port(other, `{"port":4}`)
	port(none, "")
}

func TestBadChildrenAreNamed(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	for name, data := range map[string]string{
		"empty_": "", "text_": "hello", "list_": "[]", "host_": `{"port":1}`, "port_": payload("h", 70000),
		"big_":                     `{"host":"` + strings.Repeat("x", 200<<10) + `","port":1}`,
		"line_":                    `{"host":"h","port":1,"name":"x\nbind :1"}`,
		encodedName(`{"host":""}`): "neither",
		"fine_":                    payload("a", 1),
		"off_":                     `{"host":"h","port":1,"available":false}`,
	} {
		hand.create("/s/"+name, data, zkconn.Persistent)
	}
	hand.create("/s/half_/child", "", zkconn.Persistent) // a node that has children is a child like others
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	u := w.want("a")
	if u.RejectedTotal != 10 {
		t.Errorf("rejected %d: %+v", u.RejectedTotal, u.Rejected)
	}
}

func TestMegabytePayload(t *testing.T) {
	p := servers.ZooKeeper(t)
	raw, _, err := zk.Connect([]string{p.Addr}, time.Minute, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	hand := newAdmin(t, p.Addr)
	hand.create("/s/fine_", payload("a", 1), zkconn.Persistent)
	if _, err := raw.Create("/s/huge_", bytes.Repeat([]byte("x"), 1<<20-200), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	if u := w.want("a"); u.RejectedTotal != 1 || !strings.Contains(u.Rejected[0].Reason, "over the limit") {
		t.Errorf("rejected %+v", u.Rejected)
	}
}

// TestHundredThousandChildren: the list alone is larger than the buffers of
// most clients.
func TestHundredThousandChildren(t *testing.T) {
	p := servers.ZooKeeper(t)
	raw, _, err := zk.Connect([]string{p.Addr}, time.Minute, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	hand := newAdmin(t, p.Addr)
	hand.wait(hand.MakePath(t.Context(), "/s"))
	const all, step = 100_000, 1000
	for i := 0; i < all; i += step {
		var ops []any
		for k := range step {
			ops = append(ops, &zk.CreateRequest{
				Path: fmt.Sprintf("/s/some-longer-instance-name_%010d", i+k),
				Data: []byte(payload(fmt.Sprintf("10.%d.%d.%d", i/step, k/250, k%250), 80)), Acl: zk.WorldACL(zk.PermAll),
			})
		}
		if _, err := raw.Multi(ops...); err != nil {
			t.Fatal(err)
		}
	}
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	count := func(want int) {
		t.Helper()
		servers.Eventually(t, func() error {
			if u, _ := w.last(); u.Backends.Len() != want {
				return fmt.Errorf("%d backends (errors: %v), want %d", u.Backends.Len(), w.failure(), want)
			}
			return nil
		})
	}
	count(all)
	hand.create("/s/one-more_", payload("10.200.0.1", 80), zkconn.EphemeralSequential)
	count(all + 1)
	if err := w.failure(); err != nil {
		t.Error(err)
	}
}

func TestDownAtStartThenUp(t *testing.T) {
	p := servers.ZooKeeper(t)
	newAdmin(t, p.Addr).create("/s/a_", payload("a", 1), zkconn.Persistent)
	p.Stop()
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", SessionTimeout: config.Seconds(300 * time.Millisecond)}))
	servers.Eventually(t, func() error {
		if err := w.failure(); err == nil || !strings.Contains(err.Error(), p.Addr+": ") || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("said %v", err)
		}
		return nil
	})
	p.Start()
	w.want("a")
}

func TestRestartOfTheServer(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	hand.create("/s/a_", payload("a", 1), zkconn.Persistent)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	w.want("a")
	for i := range 2 {
		p.Stop()
		p.Start()
		hand.create(fmt.Sprintf("/s/b%d_", i), payload(fmt.Sprintf("b%d", i), 1), zkconn.Persistent)
	}
	w.want("a", "b0", "b1")
	hand.set("/s/a_", payload("c", 1))
	w.want("c", "b0", "b1")
	if err := w.failure(); err != nil {
		t.Error(err)
	}
}

func TestExpiredSession(t *testing.T) {
	p := servers.ZooKeeper(t)
	link := servers.StartProxy(t, p.Addr)
	hand := newAdmin(t, p.Addr)
	hand.create("/s/a_", payload("a", 1), zkconn.Persistent)
	hand.create("/s/q_", payload("q", 1), zkconn.PersistentSequential)
	watcher := newWatcher(t, Options{Hosts: []string{link.Addr()}, Path: "/s", SessionTimeout: config.Seconds(400 * time.Millisecond)})
	agent := measured(t, watcher)
	w := start(t, watcher)
	w.want("a", "q")
	same, err := watcher.pool.Open(watcher.ensemble) // the watcher's own session
	if err != nil {
		t.Fatal(err)
	}
	defer same.Close()
	admin{t, same}.create("/life", "", zkconn.Ephemeral)
	link.Cut()
	servers.Eventually(t, func() error {
		if st, err := hand.Exists(t.Context(), "/life"); st != nil || err != nil {
			return fmt.Errorf("the session lives: %v", err)
		}
		return nil
	})
	hand.set("/s/a_", payload("b", 1))
	hand.create("/s/q_", payload("r", 1), zkconn.PersistentSequential)
	link.Restore()
	w.want("b", "q", "r")
	agent.Await("synapse.watcher.zk.session.expired:1|c|#zk_cluster:" + link.Addr() + ",service_name:web")
	hand.set("/s/a_", payload("c", 1)) // the new session has its watches
	w.want("c", "q", "r")
	w.neverEmpty()
}

func TestHungServer(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	hand.create("/s/a_", payload("a", 1), zkconn.Persistent)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", SessionTimeout: config.Seconds(400 * time.Millisecond)}))
	w.want("a")
	p.Pause()
	servers.Eventually(t, func() error {
		if w.failure() == nil {
			return errors.New("nobody complains")
		}
		return nil
	})
	p.Resume()
	hand.create("/s/b_", payload("b", 1), zkconn.Persistent)
	w.want("a", "b")
	w.neverEmpty()
}

func TestPathDeletedByHand(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	hand.create("/s/web/a_", payload("a", 1), zkconn.Persistent)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s/web"}))
	w.want("a")
	hand.delete("/s/web/a_")
	hand.delete("/s/web")
	w.want()
	hand.create("/s/web/b_", payload("b", 1), zkconn.Persistent)
	w.want("b")
}

func TestForbiddenPath(t *testing.T) {
	p := servers.ZooKeeper(t)
	raw, _, err := zk.Connect([]string{p.Addr}, time.Minute, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.AddAuth("digest", []byte("boss:secret")); err != nil {
		t.Fatal(err)
	}
	locked := append(zk.DigestACL(zk.PermAll, "boss", "secret"), zk.WorldACL(zk.PermRead)...)
	if _, err := raw.Create("/locked", nil, 0, locked); err != nil {
		t.Fatal(err)
	}
	watcher := newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/locked/web"})
	agent := measured(t, watcher)
	w := start(t, watcher)
	w.want()
	agent.Await("synapse.watcher.zk.register_failed:1|c")
	if _, err := raw.Create("/locked/web", nil, 0, locked); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Create("/locked/web/a_", []byte(payload("a", 1)), 0, locked); err != nil {
		t.Fatal(err)
	}
	w.want("a")
	if err := w.failure(); err != nil {
		t.Error(err)
	}

	if _, err := raw.Create("/secret", nil, 0, zk.DigestACL(zk.PermAll, "boss", "secret")); err != nil {
		t.Fatal(err)
	}
	denied := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/secret"}))
	servers.Eventually(t, func() error {
		if err := denied.failure(); !errors.Is(err, zkconn.ErrNoAuth) || !strings.Contains(err.Error(), "/secret") {
			return fmt.Errorf("said %v", err)
		}
		return nil
	})
	if _, n := denied.last(); n != 0 {
		t.Error("a list that may not be read was published")
	}
	if _, err := raw.Create("/half", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Create("/half/a_", []byte(payload("a", 1)), 0, zk.DigestACL(zk.PermAll, "boss", "secret")); err != nil {
		t.Fatal(err)
	}
	half := newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/half"})
	agent = measured(t, half)
	start(t, half)
	agent.Await("synapse.watcher.zk.get_child_failed:1|c")

	allowed := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/secret", Access: zkconn.Access{Auth: []secret.Text{"digest:boss:secret"}}}))
	allowed.want()
}

// TestChildrenComeAndGo lets nodes vanish between the list and the reads.
func TestChildrenComeAndGo(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	hand.create("/s/zz_", payload("stays", 1), zkconn.Persistent)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s"}))
	w.want("stays")
	for i := range 300 {
		node := hand.create("/s/i_", payload(fmt.Sprintf("h%d", i), 1), zkconn.EphemeralSequential)
		hand.delete(node)
	}
	w.want("stays")
	if err := w.failure(); err != nil {
		t.Error(err)
	}
}

func TestPolling(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	node := hand.create("/s/i_", payload("a", 1), zkconn.PersistentSequential)
	watcher, err := NewPoll(PollOptions{Options: Options{Hosts: []string{p.Addr}, Path: "/s"}}, zkconn.NewPool(quiet()), quiet())
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, watcher)
	w.want("a")
	hand.set(node, payload("b", 1))
	w.want("b")
	hand.set("/s", `{"haproxy":{}}`)
	servers.Eventually(t, func() error {
		if u, _ := w.last(); u.Generators == nil {
			return errors.New("no options")
		}
		return nil
	})
}

func TestDiscoveryJitterMakesOneReadOfMany(t *testing.T) {
	p := servers.ZooKeeper(t)
	hand := newAdmin(t, p.Addr)
	w := start(t, newWatcher(t, Options{Hosts: []string{p.Addr}, Path: "/s", DiscoveryJitter: config.Seconds(time.Second)}))
	w.want()
	var hosts []string
	for i := range 50 {
		hosts = append(hosts, fmt.Sprintf("h%02d", i))
		hand.create("/s/i_", payload(hosts[i], 1), zkconn.EphemeralSequential)
	}
	w.want(hosts...)
	if _, n := w.last(); n > 20 {
		t.Errorf("%d updates for 50 changes in a second", n)
	}
}

func TestOptionFaults(t *testing.T) {
	var log bytes.Buffer
	good := Options{Hosts: []string{"a"}, Path: "/s"}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Hosts = nil }, "hosts"},
		{func(o *Options) { o.Path = "/a/../b" }, "path"},
		{func(o *Options) { o.Path = "" }, "path"},
		{func(o *Options) { o.GeneratorConfigPath = "/.." }, "generator_config_path"},
		{func(o *Options) { o.Decode.Method = "thrift" }, `unknown method "thrift"`},
		{func(o *Options) { o.WatchData = "some" }, "auto, all or none"},
	} {
		o := good
		c.change(&o)
		if _, err := New(o, zkconn.NewPool(quiet()), quiet()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
	good.DiscoveryJitter = config.Seconds(121 * time.Second)
	w, err := New(good, zkconn.NewPool(quiet()), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || w.jitter != 0 || !strings.Contains(log.String(), "discovery_jitter") {
		t.Errorf("%v, jitter %v, log %s", err, w.jitter, log.String())
	}
	if _, err := NewPoll(PollOptions{Options: good, Interval: -1}, zkconn.NewPool(quiet()), quiet()); err == nil {
		t.Error("a negative interval is taken")
	}
}
