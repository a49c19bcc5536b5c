package zkconn

import (
	"path"
	"slices"
	"strings"

	"github.com/go-zookeeper/zk"
)

// Kind is a set of things that can happen to a node.
type Kind uint8

// What can happen to a node whose watch was armed.
const (
	Created  Kind = 1 << iota // by ExistsW of an absent node
	Deleted                   // by any watch
	Changed                   // its data; by GetW or ExistsW
	Children                  // the list of its children; by ChildrenW
)

// Subscription collects the events of some nodes. Events are hints: another
// holder's watch may cause them, so they may come twice or for no reason, but
// none that an armed watch owes is lost within a session.
type Subscription struct {
	s     *session
	paths []string
	wake  chan struct{}
	fired map[string]Kind // guarded by s.mu
}

// Subscribe collects the events of the nodes at paths and of their direct
// children from now on. Subscribe before arming a watch.
func (s *session) Subscribe(paths ...string) *Subscription {
	sub := &Subscription{s: s, wake: make(chan struct{}, 1), paths: paths}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range paths {
		s.watchers[p] = append(s.watchers[p], sub)
	}
	return sub
}

// Close ends the subscription. Its watches stay armed until they fire.
func (u *Subscription) Close() {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	for _, p := range u.paths {
		rest := slices.DeleteFunc(u.s.watchers[p], func(o *Subscription) bool { return o == u })
		if len(rest) == 0 {
			delete(u.s.watchers, p)
		} else {
			u.s.watchers[p] = rest
		}
	}
	u.paths = nil
}

// Wake receives after an event.
func (u *Subscription) Wake() <-chan struct{} { return u.wake }

// Take returns what has fired since the last call, by path.
func (u *Subscription) Take() map[string]Kind {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	fired := u.fired
	u.fired = nil
	return fired
}

// route hands an event of the library to the subscriptions.
func (s *session) route(ev zk.Event) {
	var kind Kind
	switch ev.Type {
	case zk.EventNodeCreated:
		kind = Created
	case zk.EventNodeDeleted:
		kind = Deleted
	case zk.EventNodeDataChanged:
		kind = Changed
	case zk.EventNodeChildrenChanged:
		kind = Children
	default:
		return // a lost watch: the new session is announced by its number
	}
	node := s.inside(ev.Path)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fire(s.watchers[node], node, kind)
	if node != "/" {
		s.fire(s.watchers[path.Dir(node)], node, kind)
	}
}

// fire notes an event; s.mu is held.
func (s *session) fire(subs []*Subscription, node string, kind Kind) {
	for _, u := range subs {
		if u.fired == nil {
			u.fired = map[string]Kind{}
		}
		u.fired[node] |= kind
		select {
		case u.wake <- struct{}{}:
		default:
		}
	}
}

// outside returns the server's path of a node, inside the client's.
func (n normal) outside(p string) string {
	if p == "/" && n.chroot != "" {
		return n.chroot
	}
	return n.chroot + p
}

func (n normal) inside(p string) string {
	if p = strings.TrimPrefix(p, n.chroot); p == "" {
		return "/"
	}
	return p
}
