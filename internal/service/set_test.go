package service

import "testing"

func TestSet(t *testing.T) {
	a := Backend{Name: "a", Host: "h", Port: 1}
	heavier := a
	heavier.Weight = KnownInt(5)
	b := Backend{Name: "b", Host: "h", Port: 1}
	if s := SetOf(a, heavier, b); s.Len() != 2 || !s.Equal(SetOf(b, a)) {
		t.Error("want the first of two with the same host, port and name, and equality in any order")
	}
	if SetOf(a, b).Equal(SetOf(heavier, b)) {
		t.Error("a change of weight went unseen")
	}
	if n := SetOf(a, b).Missing(SetOf(heavier)); n != 2 {
		t.Errorf("%d missing, want 2", n)
	}
	if n := SetOf(a, b).Gone(SetOf(heavier)); n != 1 {
		t.Errorf("%d gone, want 1", n)
	}
	if (Set{}).Len() != 0 || !SetOf().Equal(Set{}) {
		t.Error("the zero value is not the empty set")
	}
	if got := (Backend{Host: "::1", Port: 80}).Address(); got != "[::1]:80" {
		t.Error(got)
	}
}
