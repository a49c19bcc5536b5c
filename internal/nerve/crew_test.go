package nerve

import (
	"sync"
	"testing"
	"testing/synctest"
)

// However many calls are under way, none waits for another, and few goroutines
// are kept. TestMain finds those that do not go when they are dismissed.
func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 10 * idleWorkers
		c := newCrew()
		for range 3 {
			var ended sync.WaitGroup
			begun, finish := make(chan struct{}), make(chan struct{})
			for range calls {
				ended.Add(1)
				c.do(func() {
					defer ended.Done()
					begun <- struct{}{}
					<-finish
				})
			}
			for range calls {
				<-begun
			}
			close(finish)
			ended.Wait()
			synctest.Wait()
			if idle := c.idle.Load(); idle != idleWorkers {
				t.Errorf("%d goroutines are kept, want %d", idle, idleWorkers)
			}
		}
		busy, free := make(chan struct{}), make(chan struct{})
		c.do(func() { close(busy); <-free })
		<-busy
		c.dismiss()
		close(free)
		last := make(chan struct{})
		c.do(func() { close(last) }) // the end of something that comes late
		<-last
	})
}
