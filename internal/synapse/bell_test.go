package synapse

import (
	"sync"
	"testing"
)

func TestBell(t *testing.T) {
	b, feeds := newBell(), make([]*feed, 10)
	heard, done := map[*feed]int{}, make(chan struct{})
	var ringers sync.WaitGroup
	for i := range feeds {
		feeds[i] = &feed{}
		ringers.Go(func() {
			for range 1000 {
				b.ring(feeds[i])
			}
		})
	}
	go func() { ringers.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-b.wake:
		case <-done:
			over = true // one more look
		}
		for _, f := range b.take() {
			heard[f]++
		}
	}
	for i, f := range feeds {
		if heard[f] == 0 || f.ringing.Load() {
			t.Errorf("feed %d was heard %d times", i, heard[f])
		}
	}
	if rest := b.take(); rest != nil {
		t.Error(rest)
	}
}
