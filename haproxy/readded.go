package haproxy

import (
	"hash/maphash"

	"smartstack/haproxy/socket"
)

// watchOrder finds the servers of s that somebody else has deleted and added
// again: HAProxy lists servers in the order in which they were added, so that they
// are behind those that were behind them. Their options may be any.
func (k *Known) watchOrder(seed maphash.Seed, s *Section, states []socket.ServerState) {
	was, now := k.order[s.BackendName], make([]uint64, len(states))
	for i := range states {
		now[i] = maphash.String(seed, states[i].Name)
	}
	if k.order == nil {
		k.order = map[string][]uint64{}
	}
	k.order[s.BackendName] = now
	moved := readded(was, now)
	for i := range s.Servers {
		ref := ServerRef{Backend: s.BackendName, Server: s.Servers[i].Name}
		if len(moved) == 0 {
			break
		}
		if moved[maphash.String(seed, ref.Server)] && !k.replaced[ref] {
			k.note(ref, unsureLine)
		}
	}
	for ref := range k.replaced {
		if ref.Backend == s.BackendName {
			delete(k.replaced, ref)
		}
	}
}

// replacing takes note that we are about to delete and add a server ourselves.
func (k *Known) replacing(r ServerRef) {
	if k.replaced == nil {
		k.replaced = map[ServerRef]bool{}
	}
	k.replaced[r] = true
}

// readded returns those that are in both lists and have been taken out of the
// first and put to its end since.
func readded(was, now []uint64) map[uint64]bool {
	for len(was) > 0 && len(now) > 0 && was[0] == now[0] {
		was, now = was[1:], now[1:]
	}
	if len(was) == 0 {
		return nil // nothing but new ones, if any
	}
	before, there := make(map[uint64]bool, len(was)), make(map[uint64]bool, len(now))
	for _, x := range was {
		before[x] = true
	}
	both := make([]uint64, 0, len(now))
	for _, x := range now {
		if there[x] = true; before[x] {
			both = append(both, x)
		}
	}
	var moved map[uint64]bool
	for _, x := range was {
		switch {
		case !there[x]:
		case both[0] == x:
			both = both[1:]
		default:
			if moved == nil {
				moved = map[uint64]bool{}
			}
			moved[x] = true
		}
	}
	return moved
}
