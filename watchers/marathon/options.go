package marathon

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
)

// Options are the keys of "discovery" with method marathon.
type Options struct {
	URL           []string             `cfg:"marathon_api_url,required" doc:"URL of Marathon, or a list of them, tried in turn; each may lead through a proxy's path."`
	App           string               `cfg:"application_name,required" doc:"Id of the app, with or without the leading slash."`
	Path          string               `cfg:"marathon_api_path" default:"/v2/apps/%{app}/tasks" doc:"Where the app's tasks are read; %{app} stands for the id. With another path than the default only the tasks are read, without the app's definition."`
	CheckInterval config.Seconds       `cfg:"check_interval" default:"10" doc:"Time between two reads of the app while there are no events, in seconds, at least 1."`
	Transport     string               `cfg:"transport" default:"events" doc:"How changes are noticed: events (Marathon's event stream, and polls while there is none) or poll."`
	Resync        config.Seconds       `cfg:"resync_interval" default:"60" doc:"Time between two reads of the app while events arrive, in seconds."`
	ReadDeadline  config.Seconds       `cfg:"read_deadline" default:"25" doc:"Silence after which the event stream is opened again, in seconds; Marathon sends a heartbeat each 10 s."`
	PortIndex     config.Optional[int] `cfg:"port_index" doc:"Which of the task's ports to use, counted from 0, which is the default."`
	PortName      string               `cfg:"port_name" doc:"Name of the port to use, in place of port_index."`
	ServicePort   int                  `cfg:"service_port" doc:"Service port of the port to use, in place of port_index."`
	Port          int                  `cfg:"port" doc:"The port itself, in place of port_index."`
	Address       string               `cfg:"address" default:"auto" doc:"Where tasks are called: auto (their own address where the app has one per task, else the agent's) or host (always the agent's)."`
	IPIndex       int                  `cfg:"ip_index" doc:"Which of a task's own addresses to use, counted from 0; IPv4 goes before IPv6."`
	Health        string               `cfg:"health" default:"any" doc:"Which tasks with health checks serve: any (one check at least is alive), all (every check is) or ignore."`
	Readiness     bool                 `cfg:"readiness" doc:"Whether tasks wait for the app's readiness checks during a deployment."`
	Unreachable   string               `cfg:"unreachable" default:"keep" doc:"What to do with tasks whose agent Marathon lost sight of: keep or drop."`
	EmptyGrace    config.Seconds       `cfg:"empty_grace" default:"30" doc:"How long backends stay when Marathon lists no task though the app should have some, in seconds."`
	GoneAfter     config.Seconds       `cfg:"gone_after" default:"300" doc:"How long backends stay when Marathon does not know the app, in seconds."`
	marathonconn.Access
}

// defaultPath is the original's, and stands for Marathon's own way to read an
// app.
const defaultPath = "/v2/apps/%{app}/tasks"

// The bounds of the intervals.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
)

// heartbeat is the least silence in which one of Marathon's must have come.
const heartbeat = 11 * time.Second

// A Run that lasts a minute is started again at once by its supervisor, so
// complaints are at least this far apart.
const complain = 65 * time.Second

// Deps is what the watcher needs beside its options.
type Deps struct {
	Pool     *marathonconn.Pool
	Log      *slog.Logger
	Override int                // the service's backend_port_override, 0 = none
	Known    func() service.Set // what an earlier run knew of the service; nil = nothing
}

// New makes the watcher; it does no I/O.
func New(o Options, d Deps) (*Watcher, error) {
	var faults []error
	for _, check := range []struct {
		key, value string
		allowed    []string
	}{
		{"transport", o.Transport, []string{"events", "poll"}},
		{"health", o.Health, []string{"any", "all", "ignore"}},
		{"unreachable", o.Unreachable, []string{"keep", "drop"}},
		{"address", o.Address, []string{"auto", "host"}},
	} {
		if !slices.Contains(check.allowed, check.value) {
			faults = append(faults, fmt.Errorf("%s: want %s, got %q", check.key, strings.Join(check.allowed, " or "), check.value))
		}
	}
	place, err := newPlace(o, d.Override)
	faults = append(faults, err)
	target, query, err := where(o)
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	w := &Watcher{
		pool: d.Pool, log: d.Log, known: d.Known, target: target, query: query,
		pace: marathonconn.Pace{
			Poll: o.Transport == "poll", Check: bounded(o.CheckInterval),
			Resync: bounded(o.Resync), Silent: bounded(o.ReadDeadline),
		},
		rules: rules{
			place: place, readiness: o.Readiness, health: o.Health,
			dropUnreachable: o.Unreachable == "drop",
		},
		emptyGrace: o.EmptyGrace.Duration(), goneAfter: o.GoneAfter.Duration(),
		memory: newMemory(),
	}
	if w.pace.Silent < heartbeat && !w.pace.Poll {
		d.Log.Warn(fmt.Sprintf("read_deadline is %v, and Marathon sends a heartbeat each 10 s only: the event stream will be opened again and again", w.pace.Silent))
	}
	w.patience = max(3*w.pace.Check, complain)
	return w, nil
}

func bounded(s config.Seconds) time.Duration { return min(max(s.Duration(), shortest), longest) }

// where tells which Marathon to ask for what.
func where(o Options) (t marathonconn.Target, q marathonconn.Query, err error) {
	q.App = marathonconn.AppID(o.App)
	if q.App == "/" || strings.ContainsAny(o.App, " \t\r\n") {
		return t, q, fmt.Errorf("application_name: want the id of an app, got %q", o.App)
	}
	endpoints := slices.Clone(o.URL)
	// Marathon behind a proxy: what stands before its own path leads there, for
	// events too.
	path := "/" + strings.TrimLeft(o.Path, "/")
	if prefix, ok := strings.CutSuffix(path, defaultPath); ok || o.Path == "" {
		for i, e := range endpoints {
			e = strings.TrimRight(e, "/")
			if ok && !strings.HasSuffix(e, prefix) {
				e += prefix
			}
			endpoints[i] = e
		}
	} else if q.Path, err = marathonconn.ExpandPath(path, q.App); err != nil {
		return t, q, fmt.Errorf("marathon_api_path: %w", err)
	}
	if t, err = marathonconn.NewTarget(endpoints, o.Access); err != nil {
		return t, q, err
	}
	return t, q, nil
}

// newPlace checks how the port is chosen.
func newPlace(o Options, override int) (place, error) {
	p := place{
		index: o.PortIndex.Value, name: o.PortName, service: o.ServicePort, port: o.Port,
		onHost: o.Address == "host", ip: o.IPIndex, override: override,
	}
	given := 0
	for _, set := range []bool{o.PortIndex.Set && !o.PortIndex.Null, p.name != "", p.service != 0, p.port != 0} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return p, errors.New("more than one of port_index, port_name, service_port and port is given: keep one")
	case p.index < 0 || p.ip < 0:
		return p, errors.New("port_index and ip_index count from 0")
	case p.service < 0 || p.service > 65535 || p.port < 0 || p.port > 65535:
		return p, errors.New("service_port and port: want a port from 1 to 65535")
	}
	return p, nil
}
