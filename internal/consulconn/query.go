package consulconn

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Read tells how something is read.
type Read struct {
	Datacenter string // empty = the agent's own
	// Stale lets every server answer, not the leader alone. An answer of a
	// server that has not heard of its leader for longer than MaxStale is asked
	// for once more, from the leader.
	Stale    bool
	MaxStale time.Duration
}

// Query is what is read. Two are the same exactly when they are ==.
type Query struct {
	kind kind
	name string // of the service, or the prefix of the keys with a slash at its end
	read Read
}

type kind int8

const (
	health kind = iota
	catalog
	keys
)

// Health reads the instances of a service with their checks.
func Health(service string, r Read) Query { return Query{kind: health, name: service, read: r} }

// Catalog reads the instances of a service as they are registered.
func Catalog(service string, r Read) Query { return Query{kind: catalog, name: service, read: r} }

// Keys reads all keys below path.
func Keys(path string, r Read) Query {
	return Query{kind: keys, name: strings.Trim(path, "/") + "/", read: r}
}

// path returns what is asked for, without the parts that change.
func (q Query) path() string {
	switch q.kind {
	case health:
		return "/v1/health/service/" + url.PathEscape(q.name)
	case catalog:
		return "/v1/catalog/service/" + url.PathEscape(q.name)
	default:
		var b strings.Builder
		b.WriteString("/v1/kv")
		for element := range strings.SplitSeq(strings.TrimSuffix(q.name, "/"), "/") {
			b.WriteString("/" + url.PathEscape(element))
		}
		b.WriteByte('/')
		return b.String()
	}
}

// address returns the call. An index of 0 asks for an answer at once; leader
// asks the leader for it.
func (q Query) address(index uint64, wait time.Duration, leader bool) string {
	var words []string
	if q.kind == keys {
		words = append(words, "recurse")
	}
	if q.read.Datacenter != "" {
		words = append(words, "dc="+url.QueryEscape(q.read.Datacenter))
	}
	if q.read.Stale && !leader {
		words = append(words, "stale")
	}
	if index > 0 {
		words = append(words, "index="+strconv.FormatUint(index, 10), "wait="+strconv.FormatInt(max(wait.Milliseconds(), 1), 10)+"ms")
	}
	if len(words) == 0 {
		return q.path()
	}
	return q.path() + "?" + strings.Join(words, "&")
}
