package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/reporters/reportertest"
	"smartstack/test/servers"
)

func TestContract(t *testing.T) {
	reportertest.Run(t, func(t *testing.T) reportertest.Registry {
		etcd := servers.Etcd(t)
		client := newAdmin(t, etcd.Addr)
		dead := fmt.Sprintf("127.0.0.1:%d", servers.FreePort(t))
		return reportertest.Registry{
			New:    func() service.Reporter { return newReporter(t, newPool(), etcd.Addr, 10*time.Second) },
			Read:   client.backends,
			Vanish: client.clear,
			Break:  func() func() { etcd.Stop(); return etcd.Start },
			Hang:   func() func() { etcd.Pause(); return etcd.Resume },
			Dead:   func() service.Reporter { return newReporter(t, newPool(), dead, 10*time.Second) },
		}
	})
}

func TestKeyValueAndLease(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	report(t, newReporter(t, newPool(), etcd.Addr, 10*time.Second), up(web))
	resp := do(client, func(ctx context.Context) (*clientv3.GetResponse, error) { return client.c.Get(ctx, client.only()) })
	kv := resp.Kvs[0]
	// The number is the revision before: that of the write which asked for it.
	if want := fmt.Sprintf("/services/web/i-1/%020d", kv.CreateRevision-1); string(kv.Key) != want {
		t.Errorf("key %s, want %s", kv.Key, want)
	}
	if want := `{"host":"10.0.0.1","port":8080,"name":"i-1"}`; string(kv.Value) != want || kv.Lease == 0 {
		t.Errorf("value %s under lease %x, want %s under a lease", kv.Value, kv.Lease, want)
	}
	all := do(client, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return client.c.Get(ctx, "/", clientv3.WithPrefix())
	})
	if all.Count != 1 {
		t.Errorf("%d keys, want the registration alone", all.Count)
	}
}

func TestRootPath(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r, err := New(Options{Hosts: []string{etcd.Addr}, Path: "/", TTL: config.Seconds(10 * time.Second)}, newPool(), nil)
	if err != nil {
		t.Fatal(err)
	}
	report(t, r, up(web))
	all := do(client, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return client.c.Get(ctx, "/i-1/", clientv3.WithPrefix())
	})
	if all.Count != 1 {
		t.Errorf("%d keys below /i-1/, want one", all.Count)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTwoNervesWithOneInstanceID(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	one, two := newReporter(t, newPool(), etcd.Addr, 10*time.Second), newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, one, up(web))
	first := client.only()
	other := web
	other.Port = 9090
	report(t, two, up(other))
	if len(client.held()) != 2 || one.mine.key >= two.mine.key {
		t.Errorf("registered %v: want two, numbers in the order of registration", client.held())
	}
	if err := two.Close(t.Context()); err != nil {
		t.Error(err)
	}
	report(t, one, up(web))
	if client.only() != first {
		t.Errorf("the other nerve took %s with it: %v", first, client.held())
	}
}

func TestServicesShareALease(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	pool := newPool()
	var all []*Reporter
	for i := range 5 {
		r := newReporter(t, pool, etcd.Addr, 10*time.Second)
		b := web
		b.Port += i
		report(t, r, up(b))
		all = append(all, r)
	}
	leases := func() int { return len(do(client, client.c.Leases).Leases) }
	if leases() != 1 || len(client.held()) != 5 {
		t.Errorf("%d leases for %d registrations, want 1 for 5", leases(), len(client.held()))
	}
	for _, r := range all {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if leases() != 0 || len(client.held()) != 0 {
		t.Errorf("%d leases and %v left", leases(), client.held())
	}
}

func TestDownStaysDown(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, r, up(web))
	for range 3 { // the original put the key back with the next ping
		report(t, r, service.Registration{Backend: web})
		if held := client.held(); len(held) != 0 {
			t.Fatalf("down, and %v is registered", held)
		}
	}
}

func TestAWriteThatOvertakesItsDeletion(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, r, up(web))
	key := client.only()
	down := service.Registration{Backend: web}
	report(t, r, down)
	client.put(key, string(service.EncodePayload(web)))
	rounds(t, r, down, func() error {
		if held := client.held(); len(held) != 0 {
			return fmt.Errorf("down, and %v is registered", held)
		}
		return nil
	})
	report(t, r, up(web))
	rounds(t, r, up(web), func() error { return registered(client, r) })
}

func TestRepairs(t *testing.T) {
	for _, c := range []struct {
		name    string
		harm    func(a admin, key string, lease clientv3.LeaseID)
		sameKey bool
	}{
		{"key deleted by hand", func(a admin, _ string, _ clientv3.LeaseID) { a.clear() }, false},
		{"value altered by hand", func(a admin, key string, _ clientv3.LeaseID) { a.put(key, "garbage") }, true},
		{"lease taken off by hand", func(a admin, key string, _ clientv3.LeaseID) {
			a.put(key, string(service.EncodePayload(web)))
		}, true},
		{"lease revoked by hand", func(a admin, _ string, lease clientv3.LeaseID) {
			do(a, func(ctx context.Context) (*clientv3.LeaseRevokeResponse, error) { return a.c.Revoke(ctx, lease) })
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			etcd := servers.Etcd(t)
			client := newAdmin(t, etcd.Addr)
			r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
			report(t, r, up(web))
			key, harmed := client.only(), false
			rounds(t, r, up(web), func() error {
				if !harmed {
					c.harm(client, key, r.mine.lease)
					harmed = true
					return errors.New("just harmed")
				}
				return registered(client, r)
			})
			if same := client.only() == key; same != c.sameKey {
				t.Errorf("key %s became %s", key, client.only())
			}
		})
	}
}

// registered tells whether exactly r's registration is there, under its lease.
func registered(a admin, r *Reporter) error {
	resp := do(a, func(ctx context.Context) (*clientv3.GetResponse, error) {
		return a.c.Get(ctx, path+"/", clientv3.WithPrefix())
	})
	if len(resp.Kvs) != 1 {
		return fmt.Errorf("%d keys", len(resp.Kvs))
	}
	kv := resp.Kvs[0]
	if string(kv.Value) != string(service.EncodePayload(web)) || kv.Lease != int64(r.mine.lease) || kv.Lease == 0 {
		return fmt.Errorf("%s = %s under lease %x", kv.Key, kv.Value, kv.Lease)
	}
	return nil
}

func TestDownAtStartThenUp(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	etcd.Stop()
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	var err error
	servers.Eventually(t, func() error {
		if err = r.Report(t.Context(), up(web)); err == nil || !strings.Contains(err.Error(), "refused") {
			return fmt.Errorf("Report to nobody: %v", err)
		}
		return nil
	})
	if !strings.Contains(err.Error(), etcd.Addr) {
		t.Errorf("%q does not name the server", err)
	}
	etcd.Start()
	rounds(t, r, up(web), func() error { return registered(newAdmin(t, etcd.Addr), r) })
}

func TestRestartOfTheServerKeepsTheRegistration(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, r, up(web))
	key := client.only()
	etcd.Stop()
	etcd.Start()
	rounds(t, r, up(web), func() error { return registered(client, r) })
	if client.only() != key {
		t.Errorf("%s became %s", key, client.only())
	}
}

// A cluster that was made anew counts from the beginning again, so that a new
// number may be one that we had before.
func TestAClusterMadeAnewGivesAnOldNumberAgain(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	r := newReporter(t, newPool(), etcd.Addr, 2*time.Second)
	report(t, r, up(web))
	key := newAdmin(t, etcd.Addr).only()
	etcd.Stop()
	etcd.Wipe()
	etcd.Start()
	client := newAdmin(t, etcd.Addr)
	rounds(t, r, up(web), func() error { return registered(client, r) })
	if now := client.only(); now != key {
		t.Errorf("the test is to get %s again, and got %s", key, now)
	}
	// And it is not taken for one that was to be deleted.
	rounds(t, r, up(web), func() error {
		if r.dir.rev < r.mine.rev {
			return errors.New("the watch has not caught up")
		}
		return nil
	})
	if !r.Stands(up(web)) {
		t.Errorf("after the watch has caught up it does not stand: stale %q, gone %q", r.mine.stale, r.gone)
	}
	report(t, r, service.Registration{Backend: web})
	rounds(t, r, up(web), func() error { return registered(client, r) })
}

func TestHangLongerThanTheLease(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, 2*time.Second)
	report(t, r, up(web))
	etcd.Pause()
	servers.Eventually(t, func() error {
		if err := r.Report(t.Context(), up(web)); err == nil {
			return errors.New("all is said to be well")
		}
		return nil
	})
	etcd.Resume()
	rounds(t, r, up(web), func() error { return registered(client, r) })
}

func TestDeathLeavesItToTheLease(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	// A lease that nobody keeps alive stands for a nerve that was killed.
	lease := do(client, func(ctx context.Context) (*clientv3.LeaseGrantResponse, error) { return client.c.Grant(ctx, 2) }).ID
	do(client, func(ctx context.Context) (*clientv3.PutResponse, error) {
		return client.c.Put(ctx, path+"/i-1/7", string(service.EncodePayload(web)), clientv3.WithLease(lease))
	})
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, r, up(web)) // the next nerve on that host
	rounds(t, r, up(web), func() error { return registered(client, r) })
}

func TestQuietRoundsCostNothing(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, time.Hour) // no beat during the test
	report(t, r, up(web))
	rounds(t, r, up(web), func() error {
		if r.dir.rev < r.mine.rev {
			return errors.New("the watch has not caught up")
		}
		return nil
	})
	client.only()
	before := calls(t, etcd.Addr)
	for range 1000 {
		report(t, r, up(web))
	}
	if after := calls(t, etcd.Addr); after != before {
		t.Errorf("1000 quiet rounds cost %d calls", after-before)
	}
}

// calls counts the unary calls that the server has answered.
func calls(t *testing.T, addr string) int {
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
	total := 0
	for line := range strings.SplitSeq(string(body), "\n") {
		if strings.HasPrefix(line, "grpc_server_handled_total{") && strings.Contains(line, `grpc_type="unary"`) {
			var n int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
	}
	return total
}

func TestCloseDuringAnOutageLeavesNothingInTheEnd(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	pool := newPool()
	stays, goes := newReporter(t, pool, etcd.Addr, 10*time.Second), newReporter(t, pool, etcd.Addr, 10*time.Second)
	other := web
	other.Port = 9090
	report(t, stays, up(web))
	report(t, goes, up(other))
	etcd.Stop()
	if err := goes.Close(t.Context()); err == nil {
		t.Error("withdrawn from a server that is down")
	}
	etcd.Start()
	rounds(t, stays, up(web), func() error { return registered(client, stays) })
}

func TestRenamedInstance(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := newAdmin(t, etcd.Addr)
	r := newReporter(t, newPool(), etcd.Addr, 10*time.Second)
	report(t, r, up(web))
	renamed := web
	renamed.Name = "i-2"
	report(t, r, up(renamed))
	if key := client.only(); !strings.HasPrefix(key, "/services/web/i-2/") {
		t.Errorf("registered as %s", key)
	}
	if err := r.Report(t.Context(), up(service.Backend{Host: "h", Port: 1})); err == nil {
		t.Error("a registration without a name went through")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	ten := config.Seconds(10 * time.Second)
	for want, o := range map[string]Options{
		"etcd_host: no etcd host is given":           {TTL: ten},
		"etcd_host: etcd host \"a:b\"":               {Hosts: []string{"a:b"}, TTL: ten},
		"lease_ttl: want 2s to 1h0m0s, got 1s":       {Hosts: []string{"a"}, Port: 2379, TTL: config.Seconds(time.Second)},
		"etcd_host: etcd host \"a\": port \"99999\"": {Hosts: []string{"a"}, Port: 99999, TTL: ten},
	} {
		if _, err := New(o, newPool(), slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// BenchmarkRegister is one service going up and down.
func BenchmarkRegister(b *testing.B) {
	etcd := servers.Etcd(b)
	r := newReporter(b, newPool(), etcd.Addr, 10*time.Second)
	for b.Loop() {
		report(b, r, up(web))
		report(b, r, service.Registration{Backend: web})
	}
}

// BenchmarkQuietRound is what a round costs when nothing is to be done.
func BenchmarkQuietRound(b *testing.B) {
	etcd := servers.Etcd(b)
	r := newReporter(b, newPool(), etcd.Addr, 10*time.Second)
	b.ReportAllocs()
	for b.Loop() {
		report(b, r, up(web))
	}
}
