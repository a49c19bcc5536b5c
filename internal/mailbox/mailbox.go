// Package mailbox hands the newest of a series of values from any number of
// writers to one reader, without blocking the writers and without a queue.
package mailbox

import "sync/atomic"

// Latest is a one-place slot in which a newer value replaces an unread one.
// Several slots may share one wake channel, so that one reader can wait for
// them all. Create it with New.
//
//	wake := mailbox.NewWake()
//	slot := mailbox.New[int](wake)
//	slot.Put(1)
//	slot.Put(2)
//	<-wake
//	v, ok := slot.Take() // 2, true
type Latest[T any] struct {
	value atomic.Pointer[T]
	wake  chan struct{}
}

// NewWake makes a channel that remembers one unread wake-up.
func NewWake() chan struct{} { return make(chan struct{}, 1) }

// New makes an empty slot whose writers knock on wake; nil = the reader hears of
// what is in it in another way.
func New[T any](wake chan struct{}) *Latest[T] { return &Latest[T]{wake: wake} }

// Put stores v in place of whatever was unread, and wakes the reader. It never
// blocks, from any goroutine.
func (l *Latest[T]) Put(v T) {
	l.value.Store(&v)
	select {
	case l.wake <- struct{}{}:
	default: // one unread wake-up is as good as two: the reader looks at the slot
	}
}

// Take empties the slot. The second result tells whether anything was in it.
func (l *Latest[T]) Take() (T, bool) {
	var none T
	if l.value.Load() == nil { // cheaper than a swap, and mostly so when one reader has many slots
		return none, false
	}
	if v := l.value.Swap(nil); v != nil {
		return *v, true
	}
	return none, false
}
