package config

import (
	"time"
)

// Seconds is a duration that files give in seconds, whole or not, as a number
// or as a numeric string; Go's own form ("1m30s") is accepted too.
type Seconds time.Duration

// Duration returns s as the standard library's type.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// Optional tells a key that is absent from one that is null and from one that
// has a value.
type Optional[T any] struct {
	Value T
	Set   bool // the key is there
	Null  bool // and its value is null; Value is then the zero value
}

// Entry is one key of an ordered Map.
type Entry[T any] struct {
	Key   string
	Value T
	Node  *Node // the value's place
}

// Map is an object whose order in the file is kept, because the order of
// services and sections is visible in what we write. Keys are unique.
type Map[T any] []Entry[T]

// Get returns the value under key.
func (m Map[T]) Get(key string) (T, bool) {
	for _, e := range m {
		if e.Key == key {
			return e.Value, true
		}
	}
	var none T
	return none, false
}

// JSON is any value of the file as compact JSON, its keys in file order; empty
// when the key is absent.
type JSON string
