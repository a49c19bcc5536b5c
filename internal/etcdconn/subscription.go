package etcdconn

import (
	"strings"
	"sync/atomic"

	"smartstack/internal/mailbox"
)

// KV is one key as the cluster holds it. It is shared and never modified.
type KV struct {
	Key      string
	Value    []byte // at most maxValue bytes
	Size     int    // of the whole value, in bytes
	Modified int64  // revision
	Lease    int64  // 0 = none
}

// maxValue is how much of a value is kept: one byte more than any reader of
// registrations accepts, so that a huge value costs no memory.
const maxValue = 64<<10 + 1

// Batch is what happened below a path since the last Take.
type Batch struct {
	// Reset says that Changed is everything there is, whatever was known before.
	Reset bool
	// Changed holds the new state of each changed key; nil = gone. The batch's
	// taker owns the map.
	Changed map[string]*KV
	// Rev is the revision up to which the state is complete. It grows, but for
	// a new History: the cluster was rebuilt or restored from a backup.
	Rev     int64
	History int
}

// merge adds newer to b, which nobody has read.
func (b Batch) merge(newer Batch) Batch {
	if newer.Reset {
		return newer
	}
	for key, kv := range newer.Changed {
		if kv == nil && b.Reset {
			delete(b.Changed, key)
			continue
		}
		b.Changed[key] = kv
	}
	b.Rev, b.History = newer.Rev, newer.History
	return b
}

// Sharing says whether a subscription may be served by a watch on its parent.
type Sharing bool

// Shared lets all subscriptions with the same immediate parent share one read
// and one watch of that parent. The root is never the shared parent.
const (
	Shared Sharing = true
	Alone  Sharing = false
)

// Subscription follows the key at a path and all keys below it. It is used by
// one goroutine.
type Subscription struct {
	c       *Cluster
	path    string
	sharing Sharing
	served  bool // follower's: it has got its first batch
	wake    chan struct{}
	batches *mailbox.Latest[Batch]
	fault   atomic.Pointer[Error]
}

// CleanPath returns path with one leading slash, no trailing one and no empty
// elements; the root is "/".
func CleanPath(path string) string {
	var clean strings.Builder
	for element := range strings.SplitSeq(path, "/") {
		if element != "" {
			clean.WriteString("/" + element)
		}
	}
	if clean.Len() == 0 {
		return "/"
	}
	return clean.String()
}

// Subscribe follows path, which must be clean (see CleanPath). It does no I/O
// itself. The first batch, a Reset, arrives when the cluster has answered in
// full.
func (c *Cluster) Subscribe(path string, sharing Sharing) *Subscription {
	wake := mailbox.NewWake()
	s := &Subscription{c: c, path: path, sharing: sharing, wake: wake, batches: mailbox.New[Batch](wake)}
	s.fault.Store(c.Wrap("read "+path, errNotYet))
	c.command(command{sub: s})
	return s
}

// Wake is knocked on when Take or Fault has something new to say.
func (s *Subscription) Wake() <-chan struct{} { return s.wake }

// Take returns what happened since it was last called.
func (s *Subscription) Take() (Batch, bool) { return s.batches.Take() }

// Fault returns why the path is not being followed now; nil while it is.
func (s *Subscription) Fault() *Error { return s.fault.Load() }

// Close ends the subscription.
func (s *Subscription) Close() { s.c.command(command{sub: s, remove: true}) }

// deliver is called by the follower alone.
func (s *Subscription) deliver(b Batch) {
	if unread, ok := s.batches.Take(); ok {
		b = unread.merge(b)
	}
	s.served = true
	s.batches.Put(b)
}

// setFault is called by the follower alone; nil = followed.
func (s *Subscription) setFault(fault *Error) {
	if s.fault.Swap(fault) != fault {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// command adds or removes a subscription.
type command struct {
	sub    *Subscription
	remove bool
}

func (c *Cluster) command(cmd command) {
	select {
	case c.commands <- cmd:
	case <-c.ctx.Done():
	}
}
