package mailbox

import (
	"errors"
	"testing"
)

func TestInbox(t *testing.T) {
	early, late := errors.New("no answer yet"), errors.New("refused")
	in := NewInbox[int](early)
	woken := func() bool {
		select {
		case <-in.Wake():
			return true
		default:
			return false
		}
	}
	if _, ok := in.Take(); ok || in.Fault() != early || woken() {
		t.Errorf("at first there is an answer, or not the fault: %v", in.Fault())
	}
	if in.SetFault(early); woken() {
		t.Error("the same fault woke the reader")
	}
	if in.SetFault(late); !woken() || in.Fault() != late {
		t.Errorf("another fault did not wake the reader: %v", in.Fault())
	}
	if !in.Well().IsZero() {
		t.Error("all was well once, though nobody said so")
	}
	in.SetFault(nil)
	if in.Well().IsZero() {
		t.Error("nothing is known of when all was well")
	}
	in.Deliver(1)
	in.Deliver(2)
	if v, ok := in.Take(); !woken() || !ok || v != 2 || in.Fault() != nil {
		t.Errorf("got %d, %v, fault %v", v, ok, in.Fault())
	}
}
