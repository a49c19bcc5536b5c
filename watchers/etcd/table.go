package etcd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"smartstack/internal/etcdconn"
	"smartstack/internal/registration"
	"smartstack/internal/service"
)

// table is what one service's keys say, decoded once per change of a key.
type table struct {
	path       string
	decode     registration.Decoder
	leaves     map[string]leaf
	keys       []string // of leaves, sorted: the order of the backends
	generators []byte   // the last good value of the key at path
	refused    string   // why its newest value is not taken
}

// leaf is one key: a backend, or the reason why it is none.
type leaf struct {
	backend service.Backend
	reason  string
}

func newTable(path string, decode registration.Decoder) *table {
	return &table{path: path, decode: decode, leaves: map[string]leaf{}}
}

// apply takes a batch and reports whether there is something to publish: a
// first word always is.
func (t *table) apply(b etcdconn.Batch) bool {
	if b.Reset {
		*t = *newTable(t.path, t.decode)
	}
	changed := b.Reset
	for key, kv := range b.Changed {
		if key == t.path {
			changed = t.options(kv) || changed
		} else if !hidden(key) {
			changed = t.set(key, kv, b.Reset) || changed
		}
	}
	if b.Reset {
		slices.Sort(t.keys)
	}
	return changed
}

// set takes one key; nil = gone. With bulk the caller sorts the keys later.
func (t *table) set(key string, kv *etcdconn.KV, bulk bool) bool {
	old, known := t.leaves[key]
	if kv == nil {
		if known {
			delete(t.leaves, key)
			at, _ := slices.BinarySearch(t.keys, key)
			t.keys = slices.Delete(t.keys, at, at+1)
		}
		return known
	}
	now := t.read(kv)
	t.leaves[key] = now
	if !known {
		at := len(t.keys)
		if !bulk {
			at, _ = slices.BinarySearch(t.keys, key)
		}
		t.keys = slices.Insert(t.keys, at, key)
	}
	return !known || now != old
}

// options takes the value of the key at path. A value that is no such object
// leaves the last good one in force.
func (t *table) options(kv *etcdconn.KV) bool {
	before, refused := string(t.generators), t.refused
	t.refused = ""
	var trial service.Builder
	switch {
	case kv == nil:
		t.generators = nil
	case kv.Size > service.MaxPayload:
		t.refused = tooLong(kv)
	default:
		if err := trial.Generators(kv.Value); err != nil {
			t.refused = err.Error()
		} else {
			t.generators = kv.Value
		}
	}
	return before != string(t.generators) || refused != t.refused
}

func (t *table) update() service.Update {
	var b service.Builder
	_ = b.Generators(t.generators) // options has tried them
	if t.refused != "" {
		b.Reject(t.path, t.refused)
	}
	for _, key := range t.keys {
		if l := t.leaves[key]; l.reason != "" {
			b.Reject(key, l.reason)
		} else {
			b.Add(key, l.backend)
		}
	}
	return b.Update()
}

func (t *table) read(kv *etcdconn.KV) leaf {
	if kv.Size > service.MaxPayload {
		return leaf{reason: tooLong(kv)}
	}
	backend, err := t.decode(lastElement(kv.Key), kv.Value)
	if err != nil {
		return leaf{reason: err.Error()}
	}
	backend.ID = number(kv.Key)
	return leaf{backend: backend}
}

func tooLong(kv *etcdconn.KV) string {
	return fmt.Sprintf("%d bytes are over the limit of %d", kv.Size, service.MaxPayload)
}

// number reads the last element of key, where it is a whole number.
func number(key string) service.Int {
	last := lastElement(key)
	if strings.Trim(last, "0123456789") != "" {
		return service.Int{}
	}
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return service.Int{}
	}
	return service.KnownInt(n)
}

// hidden keys are no backends.
func hidden(key string) bool {
	return strings.HasPrefix(lastElement(key), "_")
}

func lastElement(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
