package service

import "slices"

// Rematch returns, for each service of now, what was kept for the one of that
// name; kept goes with was, place by place. As long as these are the same
// services in the same order, same is true and kept itself is returned: the cost
// is then that of comparing pointers.
func Rematch[T any](was []*Service, kept []T, now []*Service) (matched []T, same bool) {
	if slices.EqualFunc(was, now, func(a, b *Service) bool { return a == b || a.Name == b.Name }) {
		return kept, true
	}
	byName := make(map[string]T, len(was))
	for i, s := range was {
		byName[s.Name] = kept[i]
	}
	matched = make([]T, len(now))
	for i, s := range now {
		matched[i] = byName[s.Name]
	}
	return matched, false
}
