package zookeeper

import (
	"time"

	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
)

// meter sends what the original sent of one watcher, under its names. The zero
// value sends nothing.
type meter struct {
	to                     *telemetry.Statsd
	cluster, path, service string // tags
}

// Measure sends the original's metrics of the service of that name. It is
// called before Run.
func (w *Watcher) Measure(to *telemetry.Statsd, service string) {
	if to == nil {
		return
	}
	w.meter = meter{
		to: to, cluster: "zk_cluster:" + telemetry.Cluster(w.ensemble.Hosts),
		path: "zk_path:" + w.path, service: "service_name:" + service,
	}
}

// count counts something that the original tells by ensemble and service.
func (m *meter) count(metric string) { m.to.Count(metric, m.cluster, m.service) }

// took tells how long something has taken by ensemble and service.
func (m *meter) took(metric string, start time.Time) {
	m.to.Timing(metric, time.Since(start), m.cluster, m.service)
}

// tookAt is took with the path.
func (m *meter) tookAt(metric string, start time.Time) {
	m.to.Timing(metric, time.Since(start), m.cluster, m.path, m.service)
}

// opened tells whether the session was there already.
func (m *meter) opened(conn *zkconn.Conn) {
	if conn.First() {
		m.count("synapse.watcher.zk.client.created")
	} else {
		m.count("synapse.watcher.zk.client.reused")
	}
}

// discovering begins a read of what is out of date, and returns what ends it.
func (m *meter) discovering(poll bool) (done func()) {
	if poll {
		m.to.Count("synapse.watcher.zookeeper_poll.discover")
	}
	m.to.Count("synapse.watcher.zk.discovery", m.cluster, m.path, m.service)
	start := time.Now()
	return func() { m.tookAt("synapse.watcher.zk.discovery.elapsed_time", start) }
}

// listed tells how a look at the list of children went. The original gave the
// size of a Ruby object; this is the length of all names.
func (m *meter) listed(l zkconn.List, armed bool, start time.Time, absent bool) {
	m.took("synapse.watcher.zk.children.elapsed_time", start)
	if armed {
		m.tookAt("synapse.watcher.zk.watch.elapsed_time", start)
	}
	if absent {
		m.count("synapse.watcher.zk.children.failed")
		return
	}
	size := 0
	for _, name := range l.Names {
		size += len(name)
	}
	m.to.Gauge("synapse.watcher.zk.children.bytes", float64(size), m.cluster, m.path)
}
