package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/secret"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/reporters/reportertest"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// nerve is one process: its reporters share sessions.
type nerve struct {
	t    testing.TB
	pool *zkconn.Pool
}

func newNerve(t testing.TB) nerve { return nerve{t, zkconn.NewPool(quiet())} }

func (n nerve) reporter(o Options) *Reporter {
	n.t.Helper()
	if o.Path == "" {
		o.Path = "/s/web"
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = config.Seconds(10 * time.Second)
	}
	r, err := New(o, n.pool, quiet())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.Close(ctx) // most have closed it themselves
	})
	return r
}

// registry is a look at the registry from outside.
type registry struct {
	t testing.TB
	*zkconn.Conn
}

func newRegistry(t testing.TB, addr string) registry {
	c, err := zkconn.NewPool(quiet()).Open(zkconn.Ensemble{Hosts: []string{addr}, SessionTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return registry{t, c}
}

// nodes returns the data of all nodes below p, by name.
func (r registry) nodes(p string) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	l, err := r.Children(r.t.Context(), p)
	if errors.Is(err, zkconn.ErrNoNode) {
		return out
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range l.Names {
		if n, err := r.Get(r.t.Context(), path.Join(p, name)); err == nil {
			out[name] = string(n.Data)
		}
	}
	return out
}

func (r registry) want(nodes map[string]string) {
	r.t.Helper()
	servers.Eventually(r.t, func() error {
		if diff := cmp.Diff(nodes, r.nodes("/s/web")); diff != "" {
			return fmt.Errorf("nodes (-want +got):\n%s", diff)
		}
		return nil
	})
}

func (r registry) delete(node string) {
	r.t.Helper()
	p, err := r.Delete(r.t.Context(), node, zkconn.AnyVersion)
	if err == nil {
		_, err = p.Wait(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r registry) set(node, data string) {
	r.t.Helper()
	p, err := r.Set(r.t.Context(), node, []byte(data), zkconn.AnyVersion)
	if err == nil {
		_, err = p.Wait(r.t.Context())
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r registry) create(node, data string, mode zkconn.Mode) string {
	r.t.Helper()
	if err := r.MakePath(r.t.Context(), path.Dir(node)); err != nil {
		r.t.Fatal(err)
	}
	p, err := r.Create(r.t.Context(), node, []byte(data), mode)
	if err != nil {
		r.t.Fatal(err)
	}
	made, err := p.Wait(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return made
}

var web = service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 8080}

const webData = `{"host":"10.0.0.1","port":8080,"name":"i-1"}`

func up(b service.Backend) service.Registration   { return service.Registration{Up: true, Backend: b} }
func down(b service.Backend) service.Registration { return service.Registration{Backend: b} }

func report(t testing.TB, r *Reporter, reg service.Registration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	if err := r.Report(ctx, reg); err != nil {
		t.Fatal(err)
	}
}

// rounds reports again and again, as the loop does, until ok.
func rounds(t testing.TB, r *Reporter, reg service.Registration, ok func() error) {
	t.Helper()
	servers.Eventually(t, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := r.Report(ctx, reg); err != nil {
			return err
		}
		return ok()
	})
}

func TestContract(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	n := 0
	for _, kind := range []string{"ephemeral_sequential", "persistent_sequential", "persistent", "ephemeral", "encoded"} {
		t.Run(kind, func(t *testing.T) {
			reportertest.Run(t, func(t *testing.T) reportertest.Registry {
				n++
				root := fmt.Sprintf("/t%d", n)
				look := registry{t, look.Conn}
				process := newNerve(t)
				o := Options{Hosts: []string{p.Addr}, Path: root, NodeType: kind, SessionTimeout: config.Seconds(2 * time.Second)}
				if kind == "encoded" {
					o.NodeType, o.UsePathEncoding = "", true
				}
				return reportertest.Registry{
					New: func() service.Reporter { return process.reporter(o) },
					Read: func() (all []service.Backend) {
						for _, data := range look.nodes(root) {
							b, err := service.DecodePayload([]byte(data))
							if err != nil {
								t.Error(err)
							}
							all = append(all, b)
						}
						return all
					},
					Vanish: func() {
						for name := range look.nodes(root) {
							look.delete(path.Join(root, name))
						}
					},
					Break: func() func() { p.Stop(); return p.Start },
					Hang:  func() func() { p.Pause(); return p.Resume },
					Dead: func() service.Reporter {
						dead := o
						dead.Hosts = []string{"127.0.0.1:1"}
						return process.reporter(dead)
					},
				}
			})
		})
	}
}

func TestNodesAsTheOriginalMakesThem(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	process := newNerve(t)
	full := web
	full.Weight, full.ServerOptions, full.Labels = service.KnownInt(3), "inter 2s", `{"az":"a"}`
	const fullData = `{"host":"10.0.0.1","port":8080,"name":"i-1","weight":3,"haproxy_server_options":"inter 2s","labels":{"az":"a"}}`
	for _, c := range []struct {
		o          Options
		b          service.Backend
		name, data string
		ephemeral  bool
	}{
		{Options{}, full, "i-1_0000000000", fullData, true},
		{Options{NodeType: "persistent_sequential"}, web, "i-1_0000000001", webData, false},
		{Options{NodeType: "persistent"}, web, "i-1_", webData, false},
		{Options{NodeType: "ephemeral"}, web, "i-1_", webData, true},
		{Options{UsePathEncoding: true}, web, "base64_60_eyJob3N0IjoiMTAuMC4wLjEiLCJwb3J0Ijo4MDgwLCJuYW1lIjoiaS0xIn0=_0000000004", webData, true},
	} {
		c.o.Hosts = []string{p.Addr}
		r := process.reporter(c.o)
		report(t, r, up(c.b))
		look.want(map[string]string{c.name: c.data})
		if st, err := look.Exists(t.Context(), "/s/web/"+c.name); err != nil || st == nil || (st.EphemeralOwner != 0) != c.ephemeral {
			t.Errorf("%s: %+v %v", c.name, st, err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		look.want(map[string]string{})
	}
	if st, err := look.Exists(t.Context(), "/s"); err != nil || st == nil || st.EphemeralOwner != 0 || st.DataLength != 0 {
		t.Errorf("parent: %+v %v", st, err)
	}
}

func TestHugePayloadKeepsThePlainName(t *testing.T) {
	r := newNerve(t).reporter(Options{Hosts: []string{"a"}, UsePathEncoding: true})
	long := strings.Repeat("x", maxEncoded)
	if name, err := r.nodeName(web, long); err != nil || name != "i-1_" {
		t.Errorf("%q %v", name, err)
	}
	if name, err := r.nodeName(web, long[:maxEncoded/4*3]); err != nil || len(name) != maxEncoded+len("base64_65536__") {
		t.Errorf("%d bytes, %v", len(name), err)
	}
	for _, bad := range []string{"a/b", "a\nb"} {
		if _, err := r.nodeName(service.Backend{Name: bad}, ""); err != nil {
			t.Errorf("the encoded form needs no rule: %v", err)
		}
		r.encode = false
		if _, err := r.nodeName(service.Backend{Name: bad}, ""); err == nil {
			t.Errorf("%q is taken for a name", bad)
		}
		r.encode = true
	}
}

func TestDownAtStartThenUp(t *testing.T) {
	p := servers.ZooKeeper(t)
	p.Stop()
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.Report(ctx, up(web)); err == nil || !strings.Contains(err.Error(), p.Addr) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v, want who cannot be reached and why", err)
	}
	p.Start()
	look := newRegistry(t, p.Addr)
	report(t, r, up(web))
	look.want(map[string]string{"i-1_0000000000": webData})
}

func TestRestartOfTheServerChangesNothing(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}})
	report(t, r, up(web))
	p.Stop()
	report(t, r, up(web)) // believed for the session timeout
	p.Start()
	report(t, r, up(web))
	look.want(map[string]string{"i-1_0000000000": webData})
}

func TestExpiredSession(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	link := servers.StartProxy(t, p.Addr)
	process := newNerve(t)
	for _, o := range []Options{{}, {NodeType: "ephemeral"}} {
		o.Hosts, o.SessionTimeout = []string{link.Addr()}, config.Seconds(400*time.Millisecond)
		r := process.reporter(o)
		report(t, r, up(web))
		link.Cut()
		look.want(map[string]string{})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		servers.Eventually(t, func() error {
			if r.Report(ctx, up(web)) == nil {
				return errors.New("a registration that has expired is still taken for true")
			}
			return nil
		})
		cancel()
		link.Restore()
		rounds(t, r, up(web), func() error {
			if n := len(look.nodes("/s/web")); n != 1 {
				return fmt.Errorf("%d nodes", n)
			}
			return nil
		})
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		look.want(map[string]string{})
	}
}

func TestHungServer(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}, SessionTimeout: config.Seconds(400 * time.Millisecond)})
	report(t, r, down(web))
	servers.Eventually(t, func() error {
		if !r.conn.State().Connected {
			return errors.New("not connected")
		}
		return nil
	})
	p.Pause()
	for range 5 { // the first create is under way, and no second may be sent
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := r.Report(ctx, up(web)); err == nil {
			t.Error("a hung server took a registration")
		}
		cancel()
	}
	p.Resume()
	rounds(t, r, up(web), func() error {
		if n := len(look.nodes("/s/web")); n != 1 {
			return fmt.Errorf("%d nodes", n)
		}
		return nil
	})
}

// TestLostAnswer breaks the link while creates are under way: whether they were
// carried out or not, one node is there in the end.
func TestLostAnswer(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	link := servers.StartProxy(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{link.Addr()}, SessionTimeout: config.Seconds(20 * time.Second)})
	report(t, r, up(web))
	report(t, r, down(web))
	for range 5 {
		p.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_ = r.Report(ctx, up(web)) // it cannot succeed
		cancel()
		link.Cut() // the request lies in the server's socket: it will be carried out
		p.Resume()
		link.Restore()
		rounds(t, r, up(web), func() error {
			if n := len(look.nodes("/s/web")); n != 1 {
				return fmt.Errorf("%d nodes", n)
			}
			return nil
		})
		report(t, r, down(web))
		look.want(map[string]string{})
	}
}

func TestSearchAdoptsOneAndDeletesTheRest(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	process := newNerve(t)
	sibling := process.reporter(Options{Hosts: []string{p.Addr}})
	report(t, sibling, up(web)) // the same registration by another service of this nerve
	r := process.reporter(Options{Hosts: []string{p.Addr}})
	report(t, r, down(web))
	for range 3 {
		made, err := r.conn.Create(t.Context(), "/s/web/i-1_", []byte(webData), zkconn.EphemeralSequential)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := made.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look.create("/s/web/i-1_", webData, zkconn.EphemeralSequential) // another nerve with our name
	r.doubt, r.tried = true, attempt{web, "i-1_", webData}
	report(t, r, up(web))
	look.want(map[string]string{"i-1_0000000000": webData, "i-1_0000000001": webData, "i-1_0000000004": webData})
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	look.want(map[string]string{"i-1_0000000000": webData, "i-1_0000000004": webData})
}

func TestDeletedOrRewrittenByHand(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	for _, kind := range []string{"ephemeral_sequential", "persistent"} {
		r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}, NodeType: kind})
		report(t, r, up(web))
		first := r.node.path
		look.set(first, "nonsense")
		rounds(t, r, up(web), func() error {
			if got := look.nodes("/s/web")[path.Base(first)]; got != webData {
				return fmt.Errorf("data %q", got)
			}
			return nil
		})
		look.delete(first)
		look.delete("/s/web") // and its parent
		rounds(t, r, up(web), func() error {
			if len(look.nodes("/s/web")) != 1 {
				return errors.New("not there")
			}
			return nil
		})
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		look.want(map[string]string{})
	}
}

func TestNothingIsSentWhenAllIsTrue(t *testing.T) {
	p := servers.ZooKeeper(t)
	newRegistry(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}})
	report(t, r, up(web))
	p.Pause() // any request would have to wait
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for range 1000 {
		if err := r.Report(ctx, up(web)); err != nil {
			t.Fatal(err)
		}
	}
	p.Resume()
}

func TestTwoNervesWithOneInstanceID(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	other := web
	other.Port = 9090
	const otherData = `{"host":"10.0.0.1","port":9090,"name":"i-1"}`
	a, b := newNerve(t), newNerve(t)
	ra, rb := a.reporter(Options{Hosts: []string{p.Addr}}), b.reporter(Options{Hosts: []string{p.Addr}})
	report(t, ra, up(web))
	report(t, rb, up(other))
	look.want(map[string]string{"i-1_0000000000": webData, "i-1_0000000001": otherData})
	if err := ra.Close(t.Context()); err != nil {
		t.Error(err)
	}
	look.want(map[string]string{"i-1_0000000001": otherData})
	if err := rb.Close(t.Context()); err != nil {
		t.Error(err)
	}

	ra, rb = a.reporter(Options{Hosts: []string{p.Addr}, NodeType: "ephemeral"}), b.reporter(Options{Hosts: []string{p.Addr}, NodeType: "ephemeral"})
	report(t, ra, up(web))
	owner := fmt.Sprintf("%#x", uint64(ra.conn.State().ID))
	if err := rb.Report(t.Context(), up(other)); err == nil || !strings.Contains(err.Error(), owner) {
		t.Errorf("got %v, want an error that names session %s", err, owner)
	}
	if err := rb.Close(t.Context()); err != nil { // leaves what is not its own
		t.Error(err)
	}
	look.want(map[string]string{"i-1_": webData})
	rb = b.reporter(Options{Hosts: []string{p.Addr}, NodeType: "ephemeral"})
	if err := ra.Close(t.Context()); err != nil {
		t.Error(err)
	}
	report(t, rb, up(other))
	look.want(map[string]string{"i-1_": otherData})
}

func TestLeftoversOfAnEarlierRun(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	node := look.create("/s/web/i-1_", webData, zkconn.PersistentSequential)
	process := newNerve(t)
	r := process.reporter(Options{Hosts: []string{p.Addr}, NodeType: "persistent_sequential"})
	report(t, r, up(web))
	look.want(map[string]string{path.Base(node): webData}) // adopted, not doubled
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	look.want(map[string]string{})

	look.create("/s/web/i-1_", webData, zkconn.Persistent)
	r = process.reporter(Options{Hosts: []string{p.Addr}, NodeType: "persistent"})
	report(t, r, down(web)) // what is registered is not so
	look.want(map[string]string{})

	look.create("/s/web/i-1_", `{"host":"10.9.9.9","port":1,"name":"i-1"}`, zkconn.Persistent)
	r = process.reporter(Options{Hosts: []string{p.Addr}, NodeType: "persistent"})
	report(t, r, down(web)) // that is not ours
	look.want(map[string]string{"i-1_": `{"host":"10.9.9.9","port":1,"name":"i-1"}`})
	report(t, r, up(web))
	look.want(map[string]string{"i-1_": webData})
}

func TestChangedRegistrationLeavesNoGap(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}})
	report(t, r, up(web))
	for weight := range int64(20) {
		heavier := web
		heavier.Weight = service.KnownInt(weight)
		report(t, r, up(heavier))
		nodes := look.nodes("/s/web")
		if len(nodes) != 1 || !strings.Contains(fmt.Sprint(nodes), fmt.Sprintf(`"weight":%d`, weight)) {
			t.Fatalf("after weight %d: %v", weight, nodes)
		}
	}
}

func TestRewritesForTheCleaner(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	r := newNerve(t).reporter(Options{Hosts: []string{p.Addr}, NodeType: "persistent", TTL: config.Seconds(20 * time.Millisecond)})
	rounds(t, r, up(web), func() error {
		st, err := look.Exists(t.Context(), "/s/web/i-1_")
		if err != nil || st == nil || st.Version < 3 {
			return fmt.Errorf("%+v %v", st, err)
		}
		return nil
	})
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	look.want(map[string]string{})
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
	if _, err := raw.Create("/s", nil, 0, slices.Concat(zk.DigestACL(zk.PermAll, "boss", "secret"), zk.WorldACL(zk.PermRead))); err != nil {
		t.Fatal(err)
	}
	process := newNerve(t)
	r := process.reporter(Options{Hosts: []string{p.Addr}})
	if err := r.Report(t.Context(), up(web)); !errors.Is(err, zkconn.ErrNoAuth) || !strings.Contains(err.Error(), "/s/web") {
		t.Errorf("got %v, want a refusal that names the path", err)
	}
	r = process.reporter(Options{Hosts: []string{p.Addr}, Access: zkconn.Access{Auth: []secret.Text{"digest:boss:secret"}}})
	report(t, r, up(web))
	newRegistry(t, p.Addr).want(map[string]string{"i-1_0000000000": webData})
}

func TestCloseWithoutConnection(t *testing.T) {
	p := servers.ZooKeeper(t)
	look := newRegistry(t, p.Addr)
	link := servers.StartProxy(t, p.Addr)
	process := newNerve(t)
	o := Options{Hosts: []string{link.Addr()}}
	stays, goes := process.reporter(o), process.reporter(o) // one session
	other := web
	other.Port = 1
	report(t, stays, up(web))
	report(t, goes, up(other))
	link.Cut()
	servers.Eventually(t, func() error {
		if stays.conn.State().Connected {
			return errors.New("still connected")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := goes.Close(ctx); err == nil {
		t.Error("Close without a connection said that all is well")
	}
	link.Restore()
	look.want(map[string]string{"i-1_0000000000": webData}) // the session has done it
}

func TestOptionFaults(t *testing.T) {
	good := Options{Hosts: []string{"a"}, Path: "/s"}
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Hosts = nil }, "zk_hosts"},
		{func(o *Options) { o.Path = "" }, "zk_path"},
		{func(o *Options) { o.NodeType = "container" }, "ephemeral_sequential"},
	} {
		o := good
		c.change(&o)
		if _, err := New(o, zkconn.NewPool(quiet()), quiet()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// BenchmarkReport is one round of 1,000 registrations of which all are true.
func BenchmarkReport(b *testing.B) {
	p := servers.ZooKeeper(b)
	process := newNerve(b)
	var all []*Reporter
	for i := range 1000 {
		r := process.reporter(Options{Hosts: []string{p.Addr}, Path: fmt.Sprintf("/s/%d", i)})
		report(b, r, up(web))
		all = append(all, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range all {
			if err := r.Report(b.Context(), up(web)); err != nil {
				b.Fatal(err)
			}
		}
	}
}
