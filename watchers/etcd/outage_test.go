package etcd

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"smartstack/internal/etcdconn"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

// etcd dies, stalls or is cut off for ten minutes of simulated time: nothing is
// said of fewer backends, the fault is told, and what comes later is followed.
func TestTenMinutesWithoutEtcd(t *testing.T) {
	etcd := servers.Etcd(t)
	registry, outside := newAdmin(t, etcd.Addr), pipenet.NewOutside(t)
	for name, ill := range map[string]func(*pipenet.Relay){
		"dead": (*pipenet.Relay).Die, "stalled": (*pipenet.Relay).Stall, "cut-off": (*pipenet.Relay).CutOff,
	} {
		t.Run(name, func(t *testing.T) {
			path := "/s/" + name
			registry.put(path+"/a/1", `{"host":"10.0.0.1","port":80,"name":"a"}`)
			registry.put(path+"/b/2", `{"host":"10.0.0.2","port":80,"name":"b"}`)
			synctest.Test(t, func(t *testing.T) {
				relay := pipenet.NewRelay(etcd.Addr)
				defer relay.Close()
				w := newWatcher(t, etcdconn.NewPoolOver(slog.New(slog.DiscardHandler), relay.Dial), etcd.Addr, path)
				watchertest.Outage{Watcher: w, Begin: func() { ill(relay) }, End: func() {
					outside.Do(func() { registry.put(path+"/c/3", `{"host":"10.0.0.3","port":80,"name":"c"}`) })
					relay.Heal()
				}}.Run(t)
			})
		})
	}
}
