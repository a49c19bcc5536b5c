package etcd

import (
	"strings"

	"smartstack/internal/etcdconn"
)

// directory is what the cluster holds below <etcd_path>/<instance_id>, as far
// as its watch has told.
type directory struct {
	path string
	sub  *etcdconn.Subscription
	keys map[string]*etcdconn.KV
	rev  int64 // keys is complete up to here; 0 = nothing is known yet
	era  int   // of rev
}

func follow(c *etcdconn.Cluster, path string) *directory {
	return &directory{path: path, sub: c.Subscribe(path, etcdconn.Alone), keys: map[string]*etcdconn.KV{}}
}

// refresh takes what the watch has told since the last call, without waiting.
// It reports whether revisions from before mean nothing any more.
func (d *directory) refresh() (rewritten bool) {
	b, ok := d.sub.Take()
	if !ok {
		return false
	}
	if b.Reset {
		clear(d.keys)
	}
	for key, kv := range b.Changed {
		if kv == nil {
			delete(d.keys, key)
		} else {
			d.keys[key] = kv
		}
	}
	rewritten = d.era != b.History
	d.rev, d.era = b.Rev, b.History
	return rewritten
}

// holds tells whether key lies in the directory.
func (d *directory) holds(key string) bool { return strings.HasPrefix(key, d.path+"/") }

// ticket is the key whose write yields a number.
func (d *directory) ticket() string { return d.path + "/_number" }
