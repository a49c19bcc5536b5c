package zookeeper

import (
	"strings"
	"testing"
	"testing/synctest"

	"smartstack/internal/zkconn"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

// ZooKeeper dies, stalls or is cut off for ten minutes of simulated time:
// nothing is said of fewer backends, the fault is told, and what comes later is
// followed.
func TestTenMinutesWithoutZooKeeper(t *testing.T) {
	zk := servers.ZooKeeper(t)
	registry, outside := newAdmin(t, zk.Addr), pipenet.NewOutside(t)
	for name, ill := range map[string]func(*pipenet.Relay){
		"dead": (*pipenet.Relay).Die, "stalled": (*pipenet.Relay).Stall, "cut-off": (*pipenet.Relay).CutOff,
	} {
		testOutage(t, zk.Addr, registry, outside, name, ill, func(o Options, pool *zkconn.Pool) (*Watcher, error) { return New(o, pool, quiet()) })
	}
	testOutage(t, zk.Addr, registry, outside, "dead, polled", (*pipenet.Relay).Die, func(o Options, pool *zkconn.Pool) (*Watcher, error) {
		return NewPoll(PollOptions{Options: o}, pool, quiet())
	})
}

func testOutage(t *testing.T, address string, registry admin, outside *pipenet.Outside, name string, ill func(*pipenet.Relay), build func(Options, *zkconn.Pool) (*Watcher, error)) {
	t.Run(name, func(t *testing.T) {
		path := "/s/" + strings.ReplaceAll(name, ", ", "-")
		registry.create(path+"/a", payload("10.0.0.1", 80), zkconn.Persistent)
		registry.create(path+"/b", payload("10.0.0.2", 80), zkconn.Persistent)
		synctest.Test(t, func(t *testing.T) {
			relay := pipenet.NewRelay(address)
			defer relay.Close()
			w, err := build(Options{Hosts: []string{address}, Path: path}, zkconn.NewPoolOver(quiet(), relay.Dial))
			if err != nil {
				t.Fatal(err)
			}
			watchertest.Outage{Watcher: w, Begin: func() { ill(relay) }, End: func() {
				outside.Do(func() { registry.create(path+"/c", payload("10.0.0.3", 80), zkconn.Persistent) })
				relay.Heal()
			}}.Run(t)
		})
	})
}
