package watchers

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
	"smartstack/internal/supervise"
	"smartstack/watchers/dns"
	"smartstack/watchers/zookeeper"
)

// ZooKeeperDNSOptions are the keys of the discovery method zookeeper_dns.
type ZooKeeperDNSOptions struct {
	zookeeper.Options
	dns.Lookup
}

// ZooKeeperDNSPollOptions are the keys of the discovery method
// zookeeper_dns_poll.
type ZooKeeperDNSPollOptions struct {
	zookeeper.PollOptions
	dns.Lookup
}

// resolved follows the addresses of the backends that another watcher names.
type resolved struct {
	log      *slog.Logger
	source   service.Watcher
	follower *dns.Follower
	outage   bool // the last Run ended because the source cannot be read
}

func newZooKeeperDNS(o ZooKeeperDNSOptions, d Deps) (*resolved, error) {
	source, err := d.zookeeper(zookeeper.New(o.Options, d.ZK, d.Log))
	if err != nil {
		return nil, err
	}
	return newResolved(source, o.Lookup, d)
}

func newZooKeeperDNSPoll(o ZooKeeperDNSPollOptions, d Deps) (*resolved, error) {
	source, err := d.zookeeper(zookeeper.NewPoll(o.PollOptions, d.ZK, d.Log))
	if err != nil {
		return nil, err
	}
	return newResolved(source, o.Lookup, d)
}

func newResolved(source service.Watcher, o dns.Lookup, d Deps) (*resolved, error) {
	follower, err := dns.NewFollower(o, d.Log)
	if err != nil {
		return nil, err
	}
	follower.OnFailure(d.unresolved)
	return &resolved{log: d.Log, source: source, follower: follower}, nil
}

// Condition tells how fresh the names are, and which cannot be looked up.
func (w *resolved) Condition() service.Condition {
	c := w.follower.Condition()
	if source, ok := w.source.(service.Feeling); ok {
		names := source.Condition()
		if len(names.Faults) > 0 { // fresh addresses of old names are no good answer
			c.Good = time.Time{}
		}
		c.Add("zookeeper", names)
	}
	return c
}

// Run ends with the source's Run. While that cannot be read, in the next Run,
// the names that it gave last are looked up on. While the names cannot be
// looked up, the source is followed on.
func (w *resolved) Run(ctx context.Context, publish func(service.Update)) error {
	if !w.outage {
		w.follower.Forget()
	}
	ctx, cancel := context.WithCancel(ctx)
	var names sync.WaitGroup
	defer names.Wait()
	defer cancel()
	wake := mailbox.NewWake()
	wanted := mailbox.New[service.Update](wake)
	var failing atomic.Bool // while the follower waits for its next start
	actor := supervise.New(func(ctx context.Context) error {
		failing.Store(false)
		return w.follower.Run(ctx, wanted, wake, publish)
	}, func(err error, retry time.Duration) {
		failing.Store(true)
		w.log.Warn("none of the names can be looked up: the backends stay as they are", "err", err, "retry", retry.Round(time.Millisecond))
	})
	names.Go(func() { actor.Supervise(ctx) })
	err := w.source.Run(ctx, func(u service.Update) {
		wanted.Put(u)
		if failing.Swap(false) {
			actor.Restart() // the new names may be better
		}
	})
	w.outage = err != nil
	return err
}
