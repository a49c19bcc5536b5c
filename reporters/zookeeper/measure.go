package zookeeper

import (
	"cmp"
	"encoding/base64"
	"errors"
	"time"

	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
)

// meter sends what the original sent of one reporter, under its names. The zero
// value sends nothing.
type meter struct {
	to            *telemetry.Statsd
	cluster, path string // tags
}

// Measure sends the original's metrics. It is called before the first Report.
func (r *Reporter) Measure(to *telemetry.Statsd) {
	if to == nil {
		return
	}
	name := cmp.Or(r.cluster, telemetry.Cluster(r.ensemble.Hosts))
	r.meter = meter{to: to, cluster: "zk_cluster:" + name, path: "zk_path:" + r.path}
}

// took tells how long create, save or delete has taken; all of the time that
// the registry needed, also where the answer was no.
func (m *meter) took(what string, start time.Time) {
	tags := []string{m.cluster, m.path}
	if what != "create" {
		tags = tags[:1]
	}
	m.to.Timing("nerve.reporter.zk."+what+".elapsed_time", time.Since(start), tags...)
}

// opened tells whether the session was there already.
func (m *meter) opened(conn *zkconn.Conn) {
	if conn.First() {
		m.to.Count("nerve.reporter.zk.client.created", m.cluster)
	} else {
		m.to.Count("nerve.reporter.zk.client.reused", m.cluster)
	}
}

// encoded tells how long a registration is in a node's name.
func (m *meter) encoded(payload string) {
	m.to.Gauge("nerve.reporter.zk.child.bytes", float64(base64.URLEncoding.EncodedLen(len(payload))), m.cluster, m.path)
}

// renewed tells how the rewriting of a persistent node went.
func (m *meter) renewed(err error) {
	const metric = "nerve.reporter.zk.ttl.renew"
	switch {
	case err == nil:
		m.to.Count(metric, m.cluster, "result:success")
	case errors.Is(err, zkconn.ErrNoNode):
		m.to.Count(metric, m.cluster, "result:fail", "reason:no_node")
	default:
		m.to.Count(metric, m.cluster, "result:fail", "reason:connection_error")
	}
}
