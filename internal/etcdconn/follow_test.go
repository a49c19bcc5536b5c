package etcdconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/test/servers"
)

func TestServicesOfOneParentShareOneWatch(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/services/web/h/1", "web1")
	put(t, client, "/services/web-2/h/1", "other")
	put(t, client, "/services/db/h/1", "db1")
	put(t, client, "/services/db", "options")
	c := acquire(t, newPool(), etcd.Addr, Access{})
	web, db, none := read(t, c, "/services/web", Shared), read(t, c, "/services/db", Shared), read(t, c, "/services/none", Shared)
	web.until(t, map[string]string{"/services/web/h/1": "web1"})
	db.until(t, map[string]string{"/services/db/h/1": "db1", "/services/db": "options"})
	none.until(t, nil) // an honest empty answer is an answer
	web.followed(t)

	put(t, client, "/services/web/h/2", "web2")
	web.until(t, map[string]string{"/services/web/h/1": "web1", "/services/web/h/2": "web2"})
	remove(t, client, "/services/web/h/1")
	web.until(t, map[string]string{"/services/web/h/2": "web2"})
	if b, ok := db.sub.Take(); ok {
		t.Errorf("a change of web reached db: %+v", b)
	}

	late := read(t, c, "/services/web-2", Shared) // served from what is known
	late.until(t, map[string]string{"/services/web-2/h/1": "other"})
	if n := metric(t, etcd.Addr, "etcd_debugging_mvcc_watcher_total"); n != 1 {
		t.Errorf("%d watches for four services of one parent, want 1", n)
	}
}

// metric reads a number that the server tells about itself.
func metric(t *testing.T, addr, name string) int {
	t.Helper()
	web := http.Client{Timeout: servers.Deadline, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := web.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestServerDownAtStart(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	put(t, admin(t, etcd.Addr), "/s/web/1", "one")
	etcd.Stop()
	c := acquire(t, newPool(), etcd.Addr, Access{})
	r := read(t, c, "/s/web", Shared)
	servers.Eventually(t, func() error {
		if f := r.sub.Fault(); f == nil || !strings.Contains(f.Error(), "refused") || !strings.Contains(f.Error(), etcd.Addr) {
			return fmt.Errorf("fault %v does not say who refused", f)
		}
		return nil
	})
	if _, ok := r.sub.Take(); ok {
		t.Error("something was read from a server that is down")
	}
	etcd.Start()
	r.until(t, map[string]string{"/s/web/1": "one"})
	r.followed(t)
}

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/s/web/1", "one")
	r := read(t, acquire(t, newPool(), etcd.Addr, Access{}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one"})
	r.followed(t)
	etcd.Stop()
	servers.Eventually(t, func() error {
		if r.sub.Fault() == nil {
			return errors.New("the crash goes unnoticed")
		}
		return nil
	})
	etcd.Start()
	put(t, client, "/s/web/2", "two")
	r.until(t, map[string]string{"/s/web/1": "one", "/s/web/2": "two"})
	r.followed(t)
	if r.resets != 1 {
		t.Errorf("%d full reads: a restart of a server must not cost one per host", r.resets)
	}
}

func TestServerHangs(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/s/web/1", "one")
	pool := newPool()
	pool.heartbeat = 200 * time.Millisecond
	r := read(t, acquire(t, pool, etcd.Addr, Access{}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one"})
	r.followed(t)
	etcd.Pause()
	servers.Eventually(t, func() error {
		if f := r.sub.Fault(); f == nil || !errors.Is(f, errSilent) && !errors.Is(f, context.DeadlineExceeded) {
			return fmt.Errorf("the silence goes unnoticed: %v", f)
		}
		return nil
	})
	etcd.Resume()
	put(t, client, "/s/web/1", "two")
	r.until(t, map[string]string{"/s/web/1": "two"})
	r.followed(t)
}

func TestASilentMemberIsLeftForAnother(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	members := []*link{newLink(t, etcd.Addr), newLink(t, etcd.Addr)}
	pool := newPool()
	pool.heartbeat = 200 * time.Millisecond
	target, err := NewTarget([]string{members[0].addr, members[1].addr}, DefaultPort, Access{})
	if err != nil {
		t.Fatal(err)
	}
	c := pool.Acquire(target)
	defer c.Release()
	r := read(t, c, "/s/web", Shared)
	r.until(t, nil)
	for i, m := range members { // one of the two carries the watch
		r.followed(t)
		m.freeze()
		value := strconv.Itoa(i)
		put(t, client, "/s/web/1", value)
		r.until(t, map[string]string{"/s/web/1": value})
		m.mend()
	}
}

func TestCompactionWhileCut(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/s/web/1", "one")
	put(t, client, "/s/web/2", "two")
	link := newLink(t, etcd.Addr)
	r := read(t, acquire(t, newPool(), link.addr, Access{}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one", "/s/web/2": "two"})
	r.followed(t)
	link.cut()
	remove(t, client, "/s/web/1")
	rev := put(t, client, "/s/web/3", "three")
	put(t, client, "/s/web/2", "changed")
	do(t, func(ctx context.Context) (*clientv3.CompactResponse, error) { return client.Compact(ctx, rev) })
	link.mend()
	r.until(t, map[string]string{"/s/web/2": "changed", "/s/web/3": "three"})
	r.followed(t)
	if r.resets != 1 {
		t.Errorf("%d resets: a new full read says only what differs", r.resets)
	}
}

func TestChangesWhileCutArriveWithoutFullRead(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/s/web/1", "one")
	link := newLink(t, etcd.Addr)
	r := read(t, acquire(t, newPool(), link.addr, Access{}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one"})
	r.followed(t)
	before := metric(t, etcd.Addr, "etcd_debugging_mvcc_range_total")
	link.cut()
	remove(t, client, "/s/web/1")
	put(t, client, "/s/web/2", "two")
	link.mend()
	r.until(t, map[string]string{"/s/web/2": "two"})
	after := metric(t, etcd.Addr, "etcd_debugging_mvcc_range_total")
	// What the admin's own writes read, the server counts as well: a delete reads its range.
	if after-before > 2 {
		t.Errorf("%d reads for a broken connection", after-before)
	}
}

func TestClusterRebuilt(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	for i := range 20 {
		put(t, client, fmt.Sprintf("/s/web/%d", i), "old")
	}
	r := read(t, acquire(t, newPool(), etcd.Addr, Access{}), "/s/web", Shared)
	for len(r.keys) != 20 {
		r.next(t)
	}
	r.followed(t)
	etcd.Stop()
	if err := os.RemoveAll(filepath.Join(etcd.Dir, "data")); err != nil {
		t.Fatal(err)
	}
	etcd.Start()
	put(t, client, "/s/web/3", "new")
	r.until(t, map[string]string{"/s/web/3": "new"})
	if r.era != 1 {
		t.Errorf("history %d, want a new one", r.era)
	}
	r.followed(t)
	put(t, client, "/s/web/4", "new")
	r.until(t, map[string]string{"/s/web/3": "new", "/s/web/4": "new"})
}

func TestManyKeys(t *testing.T) {
	const n = 20_000
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	fill(t, client, "/s/web/", n)
	r := read(t, acquire(t, newPool(), etcd.Addr, Access{}), "/s/web", Shared)
	if b := r.next(t); len(b.Changed) != n || !b.Reset {
		t.Errorf("the first word holds %d keys, want all %d", len(b.Changed), n)
	}
}

// fill writes n keys, 100 in a transaction.
func fill(t testing.TB, client *clientv3.Client, prefix string, n int) {
	t.Helper()
	for i := 0; i < n; i += 100 {
		var ops []clientv3.Op
		for j := i; j < min(i+100, n); j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%08d", prefix, j), `{"host":"10.0.0.1","port":80,"name":"i-0123456789"}`))
		}
		do(t, func(ctx context.Context) (*clientv3.TxnResponse, error) { return client.Txn(ctx).Then(ops...).Commit() })
	}
}

func TestHugeTransactionAndValue(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t, "--max-request-bytes", "8000000")
	client := admin(t, etcd.Addr)
	r := read(t, acquire(t, newPool(), etcd.Addr, Access{}), "/s/web", Shared)
	r.until(t, nil)
	var ops []clientv3.Op
	for i := range 4 { // an event batch over the server's response limit comes in fragments
		ops = append(ops, clientv3.OpPut(fmt.Sprintf("/s/web/%d", i), strings.Repeat("x", 400_000)))
	}
	do(t, func(ctx context.Context) (*clientv3.TxnResponse, error) { return client.Txn(ctx).Then(ops...).Commit() })
	for len(r.keys) < 4 {
		for key, kv := range r.next(t).Changed {
			if len(kv.Value) != maxValue || kv.Size != 400_000 {
				t.Errorf("%s: %d of %d bytes kept, want %d of 400000", key, len(kv.Value), kv.Size, maxValue)
			}
		}
	}
}

func TestUserMayReadTheServiceButNotItsParent(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/s/web/1", "one")
	enableAuth(t, client, "/s/web/")
	c := acquire(t, newPool(), etcd.Addr, Access{Username: "reader", Password: "secret"})
	r := read(t, c, "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one"})
	r.followed(t)

	other := read(t, c, "/s/db", Shared)
	servers.Eventually(t, func() error {
		if f := other.sub.Fault(); f == nil || !strings.Contains(f.Error(), "permission denied") {
			return fmt.Errorf("fault %v, want permission denied", f)
		}
		return nil
	})
	wrong := read(t, acquire(t, newPool(), etcd.Addr, Access{Username: "reader", Password: "wrong"}), "/s/web", Shared)
	servers.Eventually(t, func() error {
		if f := wrong.sub.Fault(); f == nil || !strings.Contains(f.Error(), "authentication failed") {
			return fmt.Errorf("fault %v, want authentication failed", f)
		}
		return nil
	})
}

// enableAuth lets user reader (password secret) read and write below prefix.
func enableAuth(t *testing.T, client *clientv3.Client, prefix string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servers.Deadline)
	defer cancel()
	var errs []error
	try := func(_ any, err error) { errs = append(errs, err) }
	try(client.UserAdd(ctx, "root", "root"))
	try(client.RoleAdd(ctx, "root"))
	try(client.UserGrantRole(ctx, "root", "root"))
	try(client.UserAdd(ctx, "reader", "secret"))
	try(client.RoleAdd(ctx, "some"))
	try(client.RoleGrantPermission(ctx, "some", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite)))
	try(client.UserGrantRole(ctx, "reader", "some"))
	try(client.AuthEnable(ctx))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// link is a TCP connection to a server that can be cut and mended.
type link struct {
	addr string
	to   string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
	thaw  chan struct{} // closed while bytes flow
}

func newLink(t *testing.T, to string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &link{addr: l.Addr().String(), to: to, conns: map[net.Conn]bool{}, thaw: make(chan struct{})}
	close(p.thaw)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.cut(); p.mend(); wg.Wait() })
	return p
}

func (p *link) serve(c net.Conn) {
	up, err := net.Dial("tcp", p.to)
	if err != nil || !p.keep(c, up) {
		_ = c.Close()
		if up != nil {
			_ = up.Close()
		}
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, gated{c, p}); _ = up.Close() })
	_, _ = io.Copy(c, gated{up, p})
	_ = c.Close()
	wg.Wait()
}

func (p *link) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
	return !p.down
}

func (p *link) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

// freeze keeps connections open and lets nothing through.
func (p *link) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaw = make(chan struct{})
}

// mend ends a cut or a freeze.
func (p *link) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
	select {
	case <-p.thaw:
	default:
		close(p.thaw)
	}
}

// gated holds back what it reads while its link is frozen.
type gated struct {
	from net.Conn
	link *link
}

func (g gated) Read(b []byte) (int, error) {
	n, err := g.from.Read(b)
	g.link.mu.Lock()
	thaw := g.link.thaw
	g.link.mu.Unlock()
	<-thaw
	return n, err
}
