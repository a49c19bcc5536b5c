package supervise

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		began := time.Now()
		p := NewPatience(limit)
		defer p.Stop()
		over := func(want time.Duration) {
			t.Helper()
			<-p.Over()
			if got := time.Since(began); got != want {
				t.Errorf("over after %v, want %v", got, want)
			}
		}
		over(limit) // nothing was observed
		p.Observe(false)
		<-time.After(limit)
		p.Observe(true)
		<-time.After(limit / 2)
		p.Observe(true) // the same fault
		over(3 * limit)
		p.Observe(false)
		p.Observe(true)
		p.Observe(false)
		select {
		case <-p.Over():
			t.Error("over without a fault")
		case <-time.After(2 * limit):
		}
	})
}
