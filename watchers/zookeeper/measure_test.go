package zookeeper

import (
	"errors"
	"testing"

	"smartstack/internal/telemetry"
	"smartstack/internal/zkconn"
	"smartstack/test/servers"
)

// measured lets a watcher tell an agent what the original told.
func measured(t *testing.T, w *Watcher) *servers.Agent {
	t.Helper()
	agent, statsd := servers.NewAgent(t), telemetry.NewStatsd()
	statsd.Configure("127.0.0.1", agent.Port, nil)
	t.Cleanup(statsd.Close)
	w.Measure(statsd, "web")
	return agent
}

// A read without an answer is tried again, until it takes too long.
func TestRetriesAreCounted(t *testing.T) {
	w := newWatcher(t, Options{Hosts: []string{"zk1.example.com:2181"}, Path: "/s"})
	agent := measured(t, w)
	r := &run{Watcher: w}
	var err error
	for tries := 0; err == nil && tries < 100; tries++ {
		_, err = r.failed(&zkconn.LinkError{Err: errors.New("no answer")})
	}
	if err == nil {
		t.Error("it is tried for ever")
	}
	agent.Await("synapse.retry:1|c|#op:retry_after_sleep", "synapse.retry:1|c|#op:raise_max_attempts")
}
