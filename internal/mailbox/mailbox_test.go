package mailbox

import (
	"sync"
	"testing"
)

func TestNewerReplacesUnread(t *testing.T) {
	wake := NewWake()
	slot := New[int](wake)
	if _, ok := slot.Take(); ok {
		t.Error("an empty slot gave a value")
	}
	slot.Put(1)
	slot.Put(2)
	<-wake
	if v, ok := slot.Take(); !ok || v != 2 {
		t.Errorf("got %d %v, want 2", v, ok)
	}
	if _, ok := slot.Take(); ok {
		t.Error("a value was given twice")
	}
}

func TestManyWritersLoseNoWakeUp(t *testing.T) {
	wake := NewWake()
	slots := []*Latest[int]{New[int](wake), New[int](wake), New[int](wake)}
	const last = 1000
	var group sync.WaitGroup
	for _, s := range slots {
		group.Go(func() {
			for i := 1; i <= last; i++ {
				s.Put(i)
			}
		})
	}
	for done := 0; done < len(slots); {
		<-wake
		for _, s := range slots {
			if v, ok := s.Take(); ok && v == last {
				done++
			}
		}
	}
	group.Wait()
}
