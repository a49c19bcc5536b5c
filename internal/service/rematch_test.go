package service

import (
	"slices"
	"testing"
)

func TestRematch(t *testing.T) {
	list := func(names ...string) (services []*Service) {
		for _, name := range names {
			services = append(services, &Service{Name: name})
		}
		return services
	}
	for _, tc := range []struct {
		was, now []*Service
		kept     []int
		want     []int
		same     bool
	}{
		{nil, nil, nil, nil, true},
		{list("a", "b"), list("a", "b"), []int{1, 2}, []int{1, 2}, true},
		{list("a", "b"), list("b", "a"), []int{1, 2}, []int{2, 1}, false},
		{list("a", "b"), list("b", "c"), []int{1, 2}, []int{2, 0}, false},
		{nil, list("a"), nil, []int{0}, false},
	} {
		if got, same := Rematch(tc.was, tc.kept, tc.now); !slices.Equal(got, tc.want) || same != tc.same {
			t.Errorf("%v, %v, want %v, %v", got, same, tc.want, tc.same)
		}
	}
}
