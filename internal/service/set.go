package service

import (
	"iter"
	"slices"
)

// Set is an immutable list of backends without duplicates by (host, port,
// name), in the order in which they were first seen. The zero value is empty.
type Set struct{ list []Backend }

// NewSet collects seq; of duplicates the first wins.
func NewSet(seq iter.Seq[Backend]) Set {
	var list []Backend
	seen := map[key]struct{}{}
	for b := range seq {
		if _, dup := seen[b.key()]; dup {
			continue
		}
		seen[b.key()] = struct{}{}
		list = append(list, b)
	}
	return Set{list: append([]Backend(nil), list...)} // sets live long: without what append has in reserve
}

// SetOf is NewSet of the arguments.
func SetOf(backends ...Backend) Set { return NewSet(slices.Values(backends)) }

// All yields the backends in first-seen order.
func (s Set) All() iter.Seq[Backend] { return slices.Values(s.list) }

// Pointers yields the backends in first-seen order, where they lie in s: they
// may be kept, and must not be changed.
func (s Set) Pointers() iter.Seq[*Backend] {
	return func(yield func(*Backend) bool) {
		for i := range s.list {
			if !yield(&s.list[i]) {
				return
			}
		}
	}
}

// Len returns the number of backends.
func (s Set) Len() int { return len(s.list) }

// Same reports whether both are one list in memory: what the policies leave as
// it is, they share.
func (s Set) Same(o Set) bool {
	return len(s.list) == len(o.list) && (len(s.list) == 0 || &s.list[0] == &o.list[0])
}

// Equal reports whether both hold the same backends, in whatever order.
func (s Set) Equal(o Set) bool {
	if len(s.list) != len(o.list) {
		return false
	}
	if slices.Equal(s.list, o.list) {
		return true
	}
	return s.Missing(o) == 0
}

// Missing counts the backends of s that o does not hold in the same form.
func (s Set) Missing(o Set) int {
	there := make(map[Backend]struct{}, len(o.list))
	for _, b := range o.list {
		there[b] = struct{}{}
	}
	n := 0
	for _, b := range s.list {
		if _, ok := there[b]; !ok {
			n++
		}
	}
	return n
}

// Gone counts the backends of s that o does not hold at all: none of the same
// host, port and name, whatever its weight or options.
func (s Set) Gone(o Set) int {
	there := make(map[key]struct{}, len(o.list))
	for _, b := range o.list {
		there[b.key()] = struct{}{}
	}
	n := 0
	for _, b := range s.list {
		if _, ok := there[b.key()]; !ok {
			n++
		}
	}
	return n
}
