package zookeeper

import (
	"fmt"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
	"smartstack/reporters/reportertest"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

func TestPartitions(t *testing.T) {
	zk := servers.ZooKeeper(t)
	look := newRegistry(t, zk.Addr)
	path := func(i int) string { return fmt.Sprintf("/s/web%d", i) }
	reportertest.Partitions(t, reportertest.Partitioned{
		Addr: zk.Addr,
		New: func(t *testing.T, i int, life time.Duration, dial pipenet.Dialer) service.Reporter {
			o := Options{Hosts: []string{zk.Addr}, Path: path(i), SessionTimeout: config.Seconds(life)}
			r, err := New(o, zkconn.NewPoolOver(quiet(), dial), quiet())
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Held: func(i int) map[string]string { return look.nodes(path(i)) },
	})
}
