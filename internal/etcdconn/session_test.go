package etcdconn

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"smartstack/test/servers"
)

// lease returns the session's live lease.
func lease(t *testing.T, s *Session) clientv3.LeaseID {
	t.Helper()
	var id clientv3.LeaseID
	servers.Eventually(t, func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		id, err = s.Lease(ctx)
		return err
	})
	return id
}

func leases(t *testing.T, c *clientv3.Client) int {
	t.Helper()
	return len(do(t, c.Leases).Leases)
}

func TestSessionIsSharedAndRevokedByTheLast(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	c := acquire(t, newPool(), etcd.Addr, Access{})
	one, two := c.Session(10*time.Second), c.Session(9500*time.Millisecond)
	if one != two {
		t.Error("two leases for one time to live")
	}
	id := lease(t, one)
	do(t, func(ctx context.Context) (*clientv3.PutResponse, error) {
		return client.Put(ctx, "/k", "v", clientv3.WithLease(id))
	})
	one.Release(t.Context())
	if lease(t, two) != id || leases(t, client) != 1 {
		t.Error("the lease went with the first of two users")
	}
	two.Release(t.Context())
	if n := leases(t, client); n != 0 {
		t.Errorf("%d leases left after the last user", n)
	}
	if n := do(t, func(ctx context.Context) (*clientv3.GetResponse, error) { return client.Get(ctx, "/k") }).Count; n != 0 {
		t.Error("the key outlives its lease")
	}
}

func TestLeaseRevokedByHand(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	s := acquire(t, newPool(), etcd.Addr, Access{}).Session(time.Minute)
	defer s.Release(t.Context())
	id := lease(t, s)
	do(t, func(ctx context.Context) (*clientv3.LeaseRevokeResponse, error) { return client.Revoke(ctx, id) })
	next, err := s.Replace(t.Context(), id) // asked for: does not wait for the next beat
	if err != nil || next == id || next == 0 {
		t.Errorf("got lease %x in place of %x: %v", next, id, err)
	}
}

func TestHangLongerThanTheLease(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	s := acquire(t, newPool(), etcd.Addr, Access{}).Session(2 * time.Second)
	defer s.Release(t.Context())
	lease(t, s)
	etcd.Pause()
	servers.Eventually(t, func() error {
		if s.state.Load().err == nil {
			return errors.New("the lease is not in doubt")
		}
		return nil
	})
	if _, err := s.Lease(t.Context()); err == nil {
		t.Error("a lease that may be gone is handed out")
	}
	etcd.Resume()
	lease(t, s)
}

func TestLeaseSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	s := acquire(t, newPool(), etcd.Addr, Access{}).Session(10 * time.Second)
	defer s.Release(t.Context())
	id := lease(t, s)
	etcd.Stop()
	etcd.Start()
	if got := lease(t, s); got != id {
		t.Errorf("lease %x became %x", id, got)
	}
}

func TestKeysLeftBehindAreDeletedWhenTheClusterAnswers(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	client := admin(t, etcd.Addr)
	put(t, client, "/k", "v")
	s := acquire(t, newPool(), etcd.Addr, Access{}).Session(2 * time.Second)
	defer s.Release(t.Context())
	lease(t, s)
	s.Delete("/k")
	servers.Eventually(t, func() error {
		if do(t, func(ctx context.Context) (*clientv3.GetResponse, error) { return client.Get(ctx, "/k") }).Count != 0 {
			return errors.New("still there")
		}
		return nil
	})
}

func TestReleaseWhileTheServerHangs(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	target, err := NewTarget([]string{etcd.Addr}, DefaultPort, Access{})
	if err != nil {
		t.Fatal(err)
	}
	c := newPool().Acquire(target)
	s := c.Session(time.Minute)
	lease(t, s)
	etcd.Pause()
	defer etcd.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.Release(ctx)
	c.Release() // must not wait for an answer: goleak and the test's time limit watch
}
