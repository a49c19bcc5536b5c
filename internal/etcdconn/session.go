package etcdconn

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// maxLeft bounds how many keys wait to be deleted; more go with the lease.
const maxLeft = 4096

// revokeTimeout bounds the last call of a session.
const revokeTimeout = 2 * time.Second

// Session is a lease that is kept alive for all its users, three times within
// its time to live, and replaced when it is lost. Keys under it vanish when
// this process dies, and at once when the last user releases it.
//
// While no member answers, the lease is kept in mind: etcd extends leases over
// its own outages, so it may well be there afterwards, and with it the keys.
type Session struct {
	c     *Cluster
	ttl   int64 // seconds
	users int   // guarded by Pool.mu
	state atomic.Pointer[leaseState]
	check chan struct{} // asks for a sign of life of the lease now
	left  chan string   // keys to delete when the cluster answers
	stop  context.CancelFunc
	done  chan struct{} // closed when the owner goroutine has ended
}

// leaseState is what the owner goroutine knows. next is closed when a newer
// state is stored.
type leaseState struct {
	id   clientv3.LeaseID // 0 = none
	err  error            // why there is no lease, or why it is in doubt
	next chan struct{}
}

// Session returns the shared session with this time to live (whole seconds; at
// least one). It does no I/O. The caller must Release it once, before the
// cluster.
func (c *Cluster) Session(ttl time.Duration) *Session {
	seconds := max(1, int64((ttl+time.Second-1)/time.Second))
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	s := c.sessions[seconds]
	if s == nil {
		ctx, stop := context.WithCancel(c.ctx)
		s = &Session{c: c, ttl: seconds, check: make(chan struct{}, 1), left: make(chan string, maxLeft), stop: stop, done: make(chan struct{})}
		s.state.Store(&leaseState{next: make(chan struct{})})
		c.sessions[seconds] = s
		c.wg.Go(func() { defer close(s.done); s.run(ctx) })
	}
	s.users++
	return s
}

// Release gives the session back. The last user ends it: the lease is revoked
// and its keys go with it. It returns when that is done, or with ctx.
func (s *Session) Release(ctx context.Context) {
	s.c.pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(s.c.sessions, s.ttl)
	}
	s.c.pool.mu.Unlock()
	if !last {
		return
	}
	s.stop()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
}

// Lease returns the live lease. While the first one is being fetched it waits,
// until ctx ends; when the cluster does not answer it returns the reason at
// once, because the session goes on trying by itself.
func (s *Session) Lease(ctx context.Context) (clientv3.LeaseID, error) { return s.Replace(ctx, 0) }

// Replace returns a lease other than lost, which a call said does not exist
// any more.
func (s *Session) Replace(ctx context.Context, lost clientv3.LeaseID) (clientv3.LeaseID, error) {
	for {
		state := s.state.Load()
		switch {
		case state.err != nil:
			return 0, state.err
		case state.id != 0 && state.id != lost:
			return state.id, nil
		case state.id != 0:
			select {
			case s.check <- struct{}{}:
			default:
			}
		}
		select {
		case <-state.next:
		case <-ctx.Done():
			return 0, s.c.Wrap("lease", ctx.Err())
		}
	}
}

// Delete has keys deleted as soon as the cluster answers again, for a user who
// could not and goes now. Otherwise they would live as long as the lease does
// for the sake of its other users.
func (s *Session) Delete(keys ...string) {
	for _, key := range keys {
		select {
		case s.left <- key:
		default:
		}
	}
}

// clean deletes what users have left.
func (s *Session) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	for {
		select {
		case key := <-s.left:
			client, err := s.c.Client(ctx)
			if err == nil {
				_, err = client.Delete(ctx, key)
			}
			if err != nil {
				s.Delete(key)
				return
			}
		default:
			return
		}
	}
}

// set is called by the owner goroutine alone.
func (s *Session) set(id clientv3.LeaseID, err error) {
	close(s.state.Swap(&leaseState{id: id, err: err, next: make(chan struct{})}).next)
}

// run owns the lease.
func (s *Session) run(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		id, err := s.grant(ctx)
		if err != nil {
			s.set(0, s.c.Wrap("get a lease", err))
			sleep(ctx, retry.next())
			continue
		}
		retry.reset()
		s.set(id, nil)
		if !s.keep(ctx, id) {
			s.revoke(id)
			return
		}
		s.c.log.Warn("the etcd lease of this process is gone; registering again under a new one",
			"reason", "expired or revoked at "+s.c.target.String())
		s.set(0, nil)
	}
}

func (s *Session) grant(ctx context.Context) (clientv3.LeaseID, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	client, err := s.c.Client(ctx)
	if err != nil {
		return 0, err
	}
	resp, err := client.Grant(ctx, s.ttl)
	if err != nil {
		return 0, err
	}
	return resp.ID, nil
}

// revoke drops the lease and its keys; if that fails it expires by itself. It
// is cut short when the cluster is released meanwhile.
func (s *Session) revoke(id clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(s.c.ctx, revokeTimeout)
	defer cancel()
	client, err := s.c.Client(ctx)
	if err == nil {
		_, err = client.Revoke(ctx, id)
	}
	if err != nil && !IsLeaseGone(err) {
		s.c.log.Warn("the etcd lease is left to expire by itself", "err", s.c.Wrap("revoke the lease", err))
	}
}

// keep keeps the lease alive. It returns true when the cluster says that the
// lease is gone, and false when ctx ends.
func (s *Session) keep(ctx context.Context, id clientv3.LeaseID) bool {
	var retry backoff
	confirmed := time.Now()
	for ctx.Err() == nil {
		err := s.beats(ctx, id, func() {
			confirmed = time.Now()
			retry.reset()
			if s.state.Load().err != nil {
				s.set(id, nil)
			}
		})
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return true
		}
		if time.Since(confirmed) > s.lifetime() && ctx.Err() == nil {
			s.set(id, s.c.Wrap("keep the lease alive", err))
		}
		sleep(ctx, min(retry.next(), s.lifetime()/4))
	}
	return false
}

func (s *Session) lifetime() time.Duration { return time.Duration(s.ttl) * time.Second }

// beats confirms the lease on one stream until the stream breaks, the lease is
// gone (ErrLeaseNotFound) or ctx ends. A stream is kept rather than opened for
// each beat because opening one means fetching a token where etcd's
// authentication is on, which is costly for the servers.
func (s *Session) beats(ctx context.Context, id clientv3.LeaseID, alive func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pace := s.lifetime() / 3
	late := time.AfterFunc(min(pace, CallTimeout), cancel)
	defer late.Stop()
	client, err := s.c.Client(ctx)
	if err != nil {
		return err
	}
	call, err := pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(clientv3.WithRequireLeader(ctx))
	if err != nil {
		return silence(ctx, err)
	}
	for {
		if err := call.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
			_, err = call.Recv() // which knows the reason
			return silence(ctx, err)
		}
		resp, err := call.Recv()
		if err != nil {
			return silence(ctx, err)
		}
		if resp.TTL <= 0 {
			return rpctypes.ErrLeaseNotFound
		}
		late.Stop()
		alive()
		s.clean(ctx)
		timer := time.NewTimer(pace)
		select {
		case <-timer.C:
		case <-s.check:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		late.Reset(min(pace, CallTimeout))
	}
}

// silence is the reason when we ended a call for want of an answer.
func silence(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.DeadlineExceeded
	}
	return err
}
