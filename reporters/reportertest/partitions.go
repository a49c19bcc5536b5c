package reportertest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

// Partitioned is a registry that a reporter is cut off from.
type Partitioned struct {
	Addr string
	// New makes the reporter of case number i, whose registrations outlive it by
	// life and whose connections are made by dial. No two share a path.
	New func(t *testing.T, i int, life time.Duration, dial pipenet.Dialer) service.Reporter
	// Held returns what the registry holds of that case, in real time.
	Held func(i int) map[string]string
}

// Partitions cuts nerve off, in simulated time: for 30 s in which its session or
// lease lives on, and for 30 s and 5 min in which it is lost. Afterwards exactly
// what is true by then is registered. The registry counts real time, so it is
// waited for outside until it has given the session or lease up.
func Partitions(t *testing.T, p Partitioned) {
	outside := pipenet.NewOutside(t)
	for i, c := range []cut{
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).CutOff},
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).Stall},
		{2 * time.Second, 30 * time.Second, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Stall},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Die},
	} {
		t.Run(fmt.Sprintf("%d: %v, lost %v", i, c.lasts, c.lost), func(t *testing.T) {
			gone := func() { p.awaitGone(t, i) }
			synctest.Test(t, func(t *testing.T) { c.play(t, p, i, outside, gone) })
		})
	}
}

// cut is one case of Partitions.
type cut struct {
	life, lasts time.Duration
	lost        bool // what was registered
	begin       func(*pipenet.Relay)
}

func (c cut) play(t *testing.T, p Partitioned, i int, outside *pipenet.Outside, gone func()) {
	web := service.Backend{Name: "i-1", Host: "10.0.0.1", Port: 8080}
	heavier := web
	heavier.Weight = service.KnownInt(7)
	relay := pipenet.NewRelay(p.Addr)
	defer relay.Close()
	r := p.New(t, i, c.life, relay.Dial)
	defer func() { _ = r.Close(t.Context()) }()
	holds := func(b service.Backend) error {
		var found []string
		outside.Do(func() { found = slices.Collect(maps.Values(p.Held(i))) })
		if len(found) != 1 || found[0] != string(service.EncodePayload(b)) {
			return fmt.Errorf("registered are %v", found)
		}
		return nil
	}
	ReportUntil(t, r, web, holds)
	c.begin(relay)
	_ = ReportFor(t, r, service.Registration{Up: true, Backend: web}, c.lasts/2) // still true, as far as anybody knows
	if ReportFor(t, r, service.Registration{Up: true, Backend: heavier}, c.lasts/2) == nil {
		t.Error("a registry that cannot be reached took a registration")
	}
	if c.lost {
		outside.Do(gone)
	}
	relay.Heal()
	ReportUntil(t, r, heavier, holds)
}

func (p Partitioned) awaitGone(t *testing.T, i int) {
	t.Helper()
	servers.Eventually(t, func() error {
		if found := p.Held(i); len(found) > 0 {
			return fmt.Errorf("still registered: %v", found)
		}
		return nil
	})
}
