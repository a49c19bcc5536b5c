package marathon

import (
	"time"

	"smartstack/internal/service"
)

// memory holds which addresses were alive when Marathon last knew their
// health. It belongs to one goroutine.
type memory struct {
	last  map[string]time.Time // host:port → when it was last asked about
	hosts map[string]time.Time // alive in an earlier run, on a port that is not known → when that was recalled
}

// The bounds of a memory.
const (
	remember  = 10 * time.Minute // after the last task at an address is gone
	maxMemory = 10_000           // addresses
)

func newMemory() *memory {
	return &memory{last: map[string]time.Time{}, hosts: map[string]time.Time{}}
}

// recall takes what an earlier run of the program knew: who served then was
// alive. Where the port is overridden only the host can be compared.
func (m *memory) recall(known service.Set, override int, now time.Time) {
	for b := range known.All() {
		if override != 0 {
			m.hosts[b.Host] = now
		} else {
			m.last[b.Address()] = now
		}
	}
}

func (m *memory) alive(address string, now time.Time) {
	if _, there := m.last[address]; there || len(m.last) < maxMemory {
		m.last[address] = now
	}
}

func (m *memory) forget(address string) { delete(m.last, address) }

func (m *memory) wasAlive(host, address string, now time.Time) bool {
	_, was := m.last[address]
	if was {
		m.last[address] = now
	}
	recalled, earlier := m.hosts[host]
	return was || earlier && now.Sub(recalled) < remember
}

// sweep forgets the addresses that nobody asked about for long.
func (m *memory) sweep(now time.Time) {
	for address, at := range m.last {
		if now.Sub(at) > remember {
			delete(m.last, address)
		}
	}
}
