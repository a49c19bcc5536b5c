package marathon

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"smartstack/internal/marathonconn"
)

// rules tell which tasks serve.
type rules struct {
	place           place
	health          string // any, all or ignore
	readiness       bool
	dropUnreachable bool
}

// standing is what becomes of one task.
type standing int

const (
	out       standing = iota // it does not serve
	in                        // it does
	undecided                 // out, for no better reason than that nobody knows its health
)

// verdict is what becomes of one task, and where it is.
type verdict struct {
	standing standing
	host     string
	port     int
	// reason is not empty for a task that cannot be used, though it may serve.
	reason string
	idle   string // why a task that is in order is not in
	// again is when the verdict may change by itself; zero = never.
	again time.Time
}

// task judges one task of an app that m has seen.
func (r rules) task(a *marathonconn.App, t *marathonconn.Task, m *memory, now time.Time) verdict {
	if t.Fault != "" {
		return verdict{reason: t.Fault}
	}
	lost := false
	switch t.State {
	case "TASK_RUNNING":
	case "": // before 0.13
		if t.StartedAt.IsZero() {
			return verdict{idle: "has not started yet"}
		}
	case "TASK_UNREACHABLE", "TASK_LOST":
		if lost = true; r.dropUnreachable {
			return verdict{idle: "is out of Marathon's sight (" + t.State + "), and unreachable says drop"}
		}
	case "TASK_STAGING", "TASK_STARTING", "TASK_KILLING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED",
		"TASK_ERROR", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN", "TASK_CREATED":
		return verdict{idle: "is in the state " + t.State}
	default:
		return verdict{reason: fmt.Sprintf("is in the unknown state %.40q", t.State)}
	}
	v := verdict{}
	var err error
	if v.host, v.port, err = r.place.of(a, t); err != nil {
		v.reason = err.Error()
		return v
	}
	address := net.JoinHostPort(v.host, strconv.Itoa(v.port))
	if lost {
		// Marathon's checks may fail for the same reason for which it lost sight
		// of the agent; HAProxy's will tell.
		v.standing = in
		m.wasAlive(t.Host, address, now)
	} else {
		v.standing, v.idle = r.healthOf(a, t, m, address, now)
	}
	if v.standing == in && r.readiness {
		var ready bool
		if ready, v.again = readyNow(a, t, now); !ready {
			v.standing, v.idle = out, "is not ready yet: the app's readiness check says so, or has no result"
		}
	}
	return v
}

// healthOf applies what Marathon's health checks say, and remembers it. A
// new leader of Marathon knows no results, so that their absence is no news.
func (r rules) healthOf(a *marathonconn.App, t *marathonconn.Task, m *memory, address string, now time.Time) (s standing, idle string) {
	if r.health == "ignore" || !m.checked(now) {
		return in, ""
	}
	alive := 0
	for _, result := range t.Results {
		if result.Alive {
			alive++
		}
	}
	failing := len(t.Results) > 0 && alive == 0
	enough := alive > 0
	if r.health == "all" {
		failing = alive < len(t.Results)
		enough = len(t.Results) > 0 && len(t.Results) >= len(a.HealthChecks)
	}
	switch {
	case failing:
		m.forget(address)
		return out, fmt.Sprintf("fails %d of %d health checks", len(t.Results)-alive, len(t.Results))
	case enough:
		m.alive(address, now)
		return in, ""
	case m.wasAlive(t.Host, address, now):
		return in, ""
	default:
		return undecided, "has no result of a health check yet, and was never seen alive"
	}
}

// How long a task waits for its first readiness result, where its app does not
// say how long a check takes.
const (
	readyTimeout = 10 * time.Second
	readyMargin  = 5 * time.Second
)

// readyNow tells whether a task is ready, by Bamboo's rule: readiness matters
// during a deployment only, and a task without a result is taken for ready
// once its check would have had one, because Marathon at times loses the first.
// A task that serves though its agent is out of sight is held to the same.
func readyNow(a *marathonconn.App, t *marathonconn.Task, now time.Time) (ready bool, again time.Time) {
	if len(a.Deployments) == 0 || len(a.ReadinessChecks) == 0 {
		return true, time.Time{}
	}
	found := false
	for _, result := range a.ReadinessResults {
		if result.TaskID == t.ID {
			if found = true; !result.Ready {
				return false, time.Time{}
			}
		}
	}
	if found {
		return true, time.Time{}
	}
	if t.StartedAt.IsZero() {
		return false, time.Time{}
	}
	timeout := readyTimeout
	if s := a.ReadinessChecks[0].TimeoutSeconds; s > 0 {
		timeout = time.Duration(s) * time.Second
	}
	if until := t.StartedAt.Add(timeout + readyMargin); now.Before(until) {
		return false, until
	}
	return true, time.Time{}
}
