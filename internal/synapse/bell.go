package synapse

import (
	"sync/atomic"

	"smartstack/internal/mailbox"
)

// bell tells the Hub which feeds have something in their slots, so that it looks
// at no others. ring may be called from any goroutine; take belongs to the Hub's.
type bell struct {
	wake chan struct{}
	last atomic.Pointer[feed] // to ring, with those before it behind it
}

func newBell() *bell { return &bell{wake: mailbox.NewWake()} }

// ring is called after something was put into a slot of f.
func (b *bell) ring(f *feed) {
	if f.ringing.Swap(true) {
		return // it will be looked at
	}
	for done := false; !done; {
		f.before = b.last.Load()
		done = b.last.CompareAndSwap(f.before, f)
	}
	select {
	case b.wake <- struct{}{}:
	default: // one unread wake-up is as good as two
	}
}

// take returns the feeds that have rung since the last call, each once. Their
// slots are to be looked at after it.
func (b *bell) take() []*feed {
	var rung []*feed
	for f := b.last.Swap(nil); f != nil; {
		before := f.before
		f.before = nil
		f.ringing.Store(false) // from here on it may ring again
		rung = append(rung, f)
		f = before
	}
	return rung
}
