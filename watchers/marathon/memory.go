package marathon

import (
	"time"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
)

// memory holds which addresses were alive when Marathon last knew their
// health, and whether the app has health checks at all. It belongs to one
// goroutine.
type memory struct {
	last    map[string]time.Time // host:port → when it was last asked about
	hosts   map[string]time.Time // alive in an earlier run, on a port that is not known → when that was recalled
	results time.Time            // when the app had health checks last, or results of some
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

// sees takes note of whether an app has health checks. Without its definition
// only results can tell, and a new leader of Marathon has none at first.
func (m *memory) sees(a *marathonconn.App, now time.Time) {
	switch {
	case a.Defined && len(a.HealthChecks) == 0:
		m.results = time.Time{}
	case a.Defined || hasResults(a):
		m.results = now
	}
}

func hasResults(a *marathonconn.App) bool {
	for i := range a.Tasks {
		if len(a.Tasks[i].Results) > 0 {
			return true
		}
	}
	return false
}

// checked reports whether the app has health checks, or had until a while ago.
func (m *memory) checked(now time.Time) bool {
	return !m.results.IsZero() && now.Sub(m.results) < remember
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
