package zookeeper

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/reporters/reportertest"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

// nerve is cut off from ZooKeeper, in simulated time: for 30 s in which its
// session lives on, and for 30 s and 5 min in which it is lost. Afterwards
// exactly what is true by then is registered. ZooKeeper counts real time, so it
// is waited for outside until it has given the session up.
func TestPartitions(t *testing.T) {
	zk := servers.ZooKeeper(t)
	look, outside := newRegistry(t, zk.Addr), pipenet.NewOutside(t)
	for i, c := range []struct {
		session, cut time.Duration
		lost         bool
		begin        func(*pipenet.Relay)
	}{
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).CutOff},
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).Stall},
		{2 * time.Second, 30 * time.Second, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Stall},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Die},
	} {
		t.Run(fmt.Sprintf("%d: %v, lost %v", i, c.cut, c.lost), func(t *testing.T) {
			path := fmt.Sprintf("/s/web%d", i)
			synctest.Test(t, func(t *testing.T) {
				relay := pipenet.NewRelay(zk.Addr)
				defer relay.Close()
				o := Options{Hosts: []string{zk.Addr}, Path: path, SessionTimeout: config.Seconds(c.session)}
				r, err := New(o, zkconn.NewPoolOver(quiet(), relay.Dial), quiet())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = r.Close(t.Context()) }()
				nodes := func() (found map[string]string) {
					outside.Do(func() { found = look.nodes(path) })
					return found
				}
				holds := func(b service.Backend) error {
					found := slices.Collect(maps.Values(nodes()))
					if len(found) != 1 || found[0] != string(service.EncodePayload(b)) {
						return fmt.Errorf("registered are %v", found)
					}
					return nil
				}
				reportertest.ReportUntil(t, r, web, holds)
				c.begin(relay)
				_ = reportertest.ReportFor(t, r, up(web), c.cut/2) // still true, as far as anybody knows
				heavier := web
				heavier.Weight = service.KnownInt(7) // which nobody hears of for now
				if reportertest.ReportFor(t, r, up(heavier), c.cut/2) == nil {
					t.Error("a registry that cannot be reached took a registration")
				}
				if c.lost {
					outside.Do(func() { awaitGone(look, path) })
				}
				relay.Heal()
				reportertest.ReportUntil(t, r, heavier, holds)
			})
		})
	}
}

func awaitGone(look registry, path string) {
	look.t.Helper()
	servers.Eventually(look.t, func() error {
		if found := look.nodes(path); len(found) > 0 {
			return fmt.Errorf("the session is still there: %v", found)
		}
		return nil
	})
}
