package nerve

import (
	"errors"
	"testing"

	"smartstack/internal/telemetry"
	"smartstack/test/servers"
)

// A registry that does not take a report is told of in each round, and a change
// as one only when it is through.
func TestFailedReportsAreTold(t *testing.T) {
	agent := servers.NewAgent(t)
	statsd := telemetry.NewStatsd()
	statsd.Configure("127.0.0.1", agent.Port, nil)
	round := teller{statsd: statsd, service: "service_name:web", version: "nerve_version:1"}
	round.round(true, errors.New("no connection"))
	u := &unit{svc: Service{Name: "web"}, seat: &seat{statsd: statsd}, err: errors.New("still there")}
	u.tellStop()
	statsd.Close()
	agent.Await(
		"nerve.watcher.status.ping.count:1|c|#ping_result:fail,service_name:web,nerve_version:1",
		"nerve.watcher.status.report.count:1|c|#report_result:fail,service_name:web",
		"nerve.watcher.stop:1|c|#stop_avenue:abort,stop_location:main_loop,service_name:web,exception_name:*errors.errorString,exception_message:still there",
	)
	if names := agent.Names(); len(names) != 3 {
		t.Errorf("%v", names)
	}
}
