package synapse

import (
	"sync"

	"smartstack/internal/mailbox"
)

// bell tells the Hub which feeds have something in their slots, so that it looks
// at no others. ring may be called from any goroutine; take belongs to the Hub's.
type bell struct {
	wake chan struct{}

	mu   sync.Mutex
	rung []*feed
}

func newBell() *bell { return &bell{wake: mailbox.NewWake()} }

// ring is called after something was put into a slot of f.
func (b *bell) ring(f *feed) {
	if f.ringing.Swap(true) {
		return // it will be looked at
	}
	b.mu.Lock()
	b.rung = append(b.rung, f)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // one unread wake-up is as good as two
	}
}

// take returns the feeds that have rung since the last call, each once. Their
// slots are to be looked at after it.
func (b *bell) take() []*feed {
	b.mu.Lock()
	rung := b.rung
	b.rung = nil
	b.mu.Unlock()
	for _, f := range rung {
		f.ringing.Store(false)
	}
	return rung
}
