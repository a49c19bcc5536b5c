package goroutines_test

import (
	"strings"
	"sync"
	"testing"

	"smartstack/test/goroutines"
)

func TestStartedSeesOnlyItsOwn(t *testing.T) {
	end := make(chan struct{})
	var all sync.WaitGroup
	defer all.Wait()
	defer close(end)
	wait := func() { <-end }

	foreign := make(chan struct{})
	begun := make(chan struct{})
	all.Go(func() {
		<-foreign
		all.Go(wait) // as a server beside the test would
		close(begun)
		wait()
	})
	all.Go(wait) // ours, but from before

	if got := goroutines.Started(func() { close(foreign); <-begun }); len(got) > 0 {
		t.Errorf("goroutines that others started are counted:\n%s", strings.Join(got, "\n\n"))
	}
	got := goroutines.Started(func() { all.Go(wait); all.Go(wait) })
	if len(got) != 2 {
		t.Errorf("%d goroutines seen, 2 were started:\n%s", len(got), strings.Join(got, "\n\n"))
	}
}
