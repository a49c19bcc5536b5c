package etcdconn

import (
	"bytes"
	"context"
	"strings"

	mvccpb "go.etcd.io/etcd/api/v3/mvccpb"
)

// scope is a part of the key space that one watch covers: the keys below root
// and, with self, the key at root. root is "" for the whole space.
type scope struct {
	root string
	self bool
}

// scopesOf returns what to watch for a subscription to path: the best first,
// then what is left where the user may not read that.
func scopesOf(path string, sharing Sharing) []scope {
	if path == "/" {
		return []scope{{}}
	}
	alone := []scope{{root: path, self: true}, {root: path}}
	if parent := path[:strings.LastIndexByte(path, '/')]; sharing == Shared && parent != "" {
		return append([]scope{{root: parent}}, alone...)
	}
	return alone
}

// bounds returns the range to read. With self it also covers neighbours such
// as root-2, which holds sorts out.
func (s scope) bounds() (from, end string) {
	if s.self {
		return s.root, s.root + "0" // "0" is what follows "/"
	}
	return s.root + "/", s.root + "0"
}

func (s scope) holds(key string) bool {
	return strings.HasPrefix(key, s.root+"/") || s.self && key == s.root
}

func (s scope) String() string {
	if s.self {
		return s.root
	}
	return s.root + "/"
}

// mirror is the follower's copy of one scope.
type mirror struct {
	scope  scope
	stop   context.CancelFunc // ends a full read under way
	reads  int                // full reads begun: only the last one counts
	subs   map[string][]*Subscription
	kvs    map[string]*KV
	rev    int64  // kvs is complete up to here; 0 = never listed
	id     uint64 // of the cluster that kvs is from
	era    int    // how often the cluster's history turned out to be another
	watch  int64  // id of its watch on the current stream; 0 = none
	live   bool   // and that watch is confirmed
	behind bool   // followed once, interrupted since: events may be missing in kvs
	retry  backoff
}

func newKV(kv *mvccpb.KeyValue) *KV {
	value := kv.Value
	if len(value) > maxValue {
		value = bytes.Clone(value[:maxValue])
	}
	return &KV{Key: string(kv.Key), Value: value, Size: len(kv.Value), Modified: kv.ModRevision, Lease: kv.Lease}
}

// apply takes the events of one watch response and hands them on.
func (m *mirror) apply(events []*mvccpb.Event, rev int64) {
	batches := map[*Subscription]Batch{}
	for _, ev := range events {
		key := string(ev.Kv.Key)
		if !m.scope.holds(key) {
			continue
		}
		var kv *KV
		if ev.Type == mvccpb.Event_DELETE {
			delete(m.kvs, key)
		} else {
			kv = newKV(ev.Kv)
			m.kvs[key] = kv
		}
		m.route(key, func(s *Subscription) { m.note(batches, s, key, kv, rev) })
	}
	for s, b := range batches {
		s.deliver(b)
	}
}

func (m *mirror) note(batches map[*Subscription]Batch, s *Subscription, key string, kv *KV, rev int64) {
	b, ok := batches[s]
	if !ok {
		b = Batch{Rev: rev, History: m.era, Changed: map[string]*KV{}}
		batches[s] = b
	}
	b.Changed[key] = kv
}

// replace takes a full read and hands on what differs from before; to new
// subscribers it hands everything, even when that is nothing.
func (m *mirror) replace(kvs map[string]*KV, rev int64, id uint64) {
	batches := map[*Subscription]Batch{}
	for _, list := range m.subs {
		for _, s := range list {
			batches[s] = Batch{Reset: !s.served, Rev: rev, History: m.era, Changed: map[string]*KV{}}
		}
	}
	for key, kv := range kvs {
		old := m.kvs[key]
		same := old != nil && id == m.id && old.Modified == kv.Modified && bytes.Equal(old.Value, kv.Value)
		m.route(key, func(s *Subscription) {
			if !same || !s.served {
				batches[s].Changed[key] = kv
			}
		})
	}
	for key := range m.kvs {
		if _, there := kvs[key]; !there {
			m.route(key, func(s *Subscription) {
				if s.served {
					batches[s].Changed[key] = nil
				}
			})
		}
	}
	m.kvs, m.rev, m.id, m.behind = kvs, rev, id, false
	for s, b := range batches {
		s.deliver(b)
	}
}

// serve hands everything to the subscribers that have nothing yet.
func (m *mirror) serve() {
	for _, s := range m.unserved() {
		b := Batch{Reset: true, Rev: m.rev, History: m.era, Changed: map[string]*KV{}}
		below := scope{root: strings.TrimSuffix(s.path, "/"), self: s.path != "/"}
		for key, kv := range m.kvs {
			if below.holds(key) {
				b.Changed[key] = kv
			}
		}
		s.deliver(b)
	}
}

func (m *mirror) unserved() []*Subscription {
	var waiting []*Subscription
	for _, list := range m.subs {
		for _, s := range list {
			if !s.served {
				waiting = append(waiting, s)
			}
		}
	}
	return waiting
}

// route calls to for each subscription that key belongs to: the one at the key
// itself and those at the paths above it.
func (m *mirror) route(key string, to func(*Subscription)) {
	for path := key; ; {
		for _, s := range m.subs[path] {
			to(s)
		}
		cut := strings.LastIndexByte(path, '/')
		if cut < 0 || path == "/" {
			return
		}
		path = path[:max(cut, 1)]
	}
}

func (m *mirror) setFault(fault *Error) {
	for _, list := range m.subs {
		for _, s := range list {
			s.setFault(fault)
		}
	}
}

func (m *mirror) add(s *Subscription) { m.subs[s.path] = append(m.subs[s.path], s) }

// remove reports whether nobody is left.
func (m *mirror) remove(s *Subscription) bool {
	list := m.subs[s.path]
	for i := range list {
		if list[i] == s {
			list[i] = list[len(list)-1]
			m.subs[s.path] = list[:len(list)-1]
			break
		}
	}
	if len(m.subs[s.path]) == 0 {
		delete(m.subs, s.path)
	}
	return len(m.subs) == 0
}
