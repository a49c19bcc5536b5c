package etcd

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/etcdconn"
	"smartstack/internal/service"
	"smartstack/reporters/reportertest"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

func TestPartitions(t *testing.T) {
	etcd := servers.Etcd(t)
	look := newAdmin(t, etcd.Addr)
	path := func(i int) string { return fmt.Sprintf("%s%d", path, i) }
	reportertest.Partitions(t, reportertest.Partitioned{
		Addr: etcd.Addr,
		New: func(t *testing.T, i int, life time.Duration, dial pipenet.Dialer) service.Reporter {
			log := slog.New(slog.DiscardHandler)
			o := Options{Hosts: []string{etcd.Addr}, Port: etcdconn.DefaultPort, Path: path(i), TTL: config.Seconds(life)}
			r, err := New(o, etcdconn.NewPoolOver(log, dial), log)
			if err != nil {
				t.Fatal(err)
			}
			return r
		},
		Held: func(i int) map[string]string { return look.below(path(i)) },
	})
}
