package mailbox

import (
	"sync/atomic"
	"time"
)

// Inbox is what one reader of something shared gets: the newest answer, and why
// there is no newer one. Wake, Take and Fault are for the reader, Deliver and
// SetFault for whoever follows the source on behalf of all readers. None of
// them blocks. Create it with NewInbox.
type Inbox[T any, F comparable] struct {
	wake    chan struct{}
	answers *Latest[T]
	fault   atomic.Pointer[F]
	well    atomic.Int64 // when all was well last, in Unix nanoseconds; 0 = never
}

// NewInbox makes an inbox without an answer, for the reason fault.
func NewInbox[T any, F comparable](fault F) *Inbox[T, F] {
	wake := NewWake()
	i := &Inbox[T, F]{wake: wake, answers: New[T](wake)}
	i.fault.Store(&fault)
	return i
}

// Wake is knocked on when Take or Fault has something new to say.
func (i *Inbox[T, F]) Wake() <-chan struct{} { return i.wake }

// Take returns the newest answer, once.
func (i *Inbox[T, F]) Take() (T, bool) { return i.answers.Take() }

// Fault returns why there is no newer answer; the zero value while all is well.
func (i *Inbox[T, F]) Fault() F { return *i.fault.Load() }

// Deliver puts an answer in place of an unread one.
func (i *Inbox[T, F]) Deliver(v T) { i.answers.Put(v) }

// Well returns when it was said last that there is no fault; the zero time when
// it never was.
func (i *Inbox[T, F]) Well() time.Time {
	if at := i.well.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// SetFault says why there is no newer answer. The very same value again, which
// a fault is until the next read, wakes nobody.
func (i *Inbox[T, F]) SetFault(fault F) {
	var none F
	if fault == none {
		i.well.Store(time.Now().UnixNano())
	}
	if *i.fault.Swap(&fault) == fault {
		return
	}
	select {
	case i.wake <- struct{}{}:
	default:
	}
}
