package etcd

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/reporters/reportertest"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

// nerve is cut off from etcd, in simulated time: for 30 s in which its lease
// lives on, and for 30 s and 5 min in which it is lost. Afterwards exactly what
// is true by then is registered. etcd counts real time, so it is waited for
// outside until it has given the lease up.
func TestPartitions(t *testing.T) {
	etcd := servers.Etcd(t)
	look, outside := newAdmin(t, etcd.Addr), pipenet.NewOutside(t)
	for i, c := range []struct {
		ttl, cut time.Duration
		lost     bool
		begin    func(*pipenet.Relay)
	}{
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).CutOff},
		{40 * time.Second, 30 * time.Second, false, (*pipenet.Relay).Stall},
		{2 * time.Second, 30 * time.Second, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).CutOff},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Stall},
		{2 * time.Second, 5 * time.Minute, true, (*pipenet.Relay).Die},
	} {
		t.Run(fmt.Sprintf("%d: %v, lost %v", i, c.cut, c.lost), func(t *testing.T) {
			look.clear()
			synctest.Test(t, func(t *testing.T) {
				relay := pipenet.NewRelay(etcd.Addr)
				defer relay.Close()
				log := slog.New(slog.DiscardHandler)
				o := Options{Hosts: []string{etcd.Addr}, Port: etcdconn.DefaultPort, Path: path, TTL: config.Seconds(c.ttl)}
				r, err := New(o, etcdconn.NewPoolOver(log, relay.Dial), log)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = r.Close(t.Context()) }()
				held := func() (found map[string]string) {
					outside.Do(func() { found = look.held() })
					return found
				}
				holds := func(b service.Backend) error {
					found := slices.Collect(maps.Values(held()))
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
					outside.Do(func() { awaitGone(look) })
				}
				relay.Heal()
				reportertest.ReportUntil(t, r, heavier, holds)
			})
		})
	}
}

func awaitGone(look admin) {
	look.t.Helper()
	servers.Eventually(look.t, func() error {
		if found := look.held(); len(found) > 0 {
			return fmt.Errorf("the lease is still there: %v", found)
		}
		return nil
	})
}
