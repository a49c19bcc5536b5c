package watchertest

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/supervise"
)

// Outage is a source that is away for ten minutes of simulated time.
type Outage struct {
	Watcher service.Watcher // of a source with two backends
	Begin   func()          // the source falls ill
	End     func()          // it is well again, and has a third backend
}

// Run runs the supervised watcher through the outage: nothing may be said of the backends
// meanwhile, the fault must be told, and what comes later must be followed. It
// must be called in a bubble.
func (o Outage) Run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, done := make(chan service.Update, 1000), make(chan struct{})
	var faults atomic.Int32
	supervised := supervise.New(func(ctx context.Context) error {
		return o.Watcher.Run(ctx, func(u service.Update) { said <- u })
	}, func(error, time.Duration) { faults.Add(1) })
	go func() {
		defer close(done)
		supervised.Supervise(ctx)
	}()
	defer func() { cancel(); <-done }()

	awaitCount(t, said, 2)
	began := time.Now()
	o.Begin()
	synctest.Wait() // what was on its way has come
	for len(said) > 0 {
		<-said
	}
	<-time.After(10 * time.Minute)
	synctest.Wait()
	if n := len(said); n > 0 {
		t.Errorf("%d words in ten minutes, the first of %d backends", n, (<-said).Backends.Len())
	}
	if n := faults.Load(); n < 1 || n > 60 {
		t.Errorf("%d faults are told in ten minutes", n)
	}
	feels, _ := o.Watcher.(service.Feeling)
	if feels != nil {
		checkFaults(t, feels.Condition(), began)
	}
	o.End()
	awaitCount(t, said, 3)
	if feels != nil {
		<-time.After(2 * time.Minute)
		if c := feels.Condition(); len(c.Faults) > 0 || time.Since(c.Good) > 2*time.Minute {
			t.Errorf("afterwards: %+v", c)
		}
	}
}

// checkFaults wants an outage to be known from about its beginning.
func checkFaults(t *testing.T, c service.Condition, began time.Time) {
	t.Helper()
	const notice = 90 * time.Second // by the next poll and its deadline
	switch {
	case len(c.Faults) == 0:
		t.Error("the source is taken for well")
	case c.Faults[0].Since.Before(began) || c.Faults[0].Since.After(began.Add(notice)):
		t.Errorf("the source fails since %v, want soon after %v", c.Faults[0].Since, began)
	}
	if c.Good.After(began.Add(notice)) {
		t.Errorf("a good answer at %v, after %v", c.Good, began)
	}
}

// awaitCount reads until there are n backends, and never fewer than two.
func awaitCount(t *testing.T, said chan service.Update, n int) {
	t.Helper()
	for end := time.After(10 * time.Minute); ; {
		select {
		case u := <-said:
			if u.Backends.Len() < 2 {
				t.Fatalf("%d backends are said", u.Backends.Len())
			}
			if u.Backends.Len() == n {
				return
			}
		case <-end:
			t.Fatalf("%d backends are never said", n)
		}
	}
}
