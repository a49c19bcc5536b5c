package marathon

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/test/marathonsim"
)

// now is when the tables below play; their tasks started a minute before.
var now = time.Date(2020, 1, 1, 0, 1, 0, 0, time.UTC)

func minuteAgo() time.Time { return now.Add(-time.Minute) }

func alive(results ...bool) []marathonconn.HealthResult {
	var list []marathonconn.HealthResult
	for _, r := range results {
		list = append(list, marathonconn.HealthResult{Alive: r})
	}
	return list
}

// Each line of the policy for one task.
func TestTaskPolicy(t *testing.T) {
	checks := make([]marathonconn.HealthCheck, 2)
	cases := []struct {
		name      string
		state     string
		unstarted bool
		checks    []marathonconn.HealthCheck
		undefined bool // only the tasks were read
		results   []marathonconn.HealthResult
		before    bool // seen alive at this address
		rules     rules
		want      standing
		reason    string
	}{
		{name: "running, no health checks", want: in},
		{name: "some result alive", checks: checks, results: alive(false, true), want: in},
		{name: "one result of two checks", checks: checks, results: alive(true), want: in},
		{name: "none alive", checks: checks, results: alive(false, false), want: out},
		{name: "none alive, alive before", checks: checks, results: alive(false), before: true, want: out},
		{name: "no results, alive before", checks: checks, before: true, want: in},
		{name: "empty results, alive before", checks: checks, results: alive(), before: true, want: in},
		{name: "no results, never alive", checks: checks, want: undecided},
		{name: "all: all alive", checks: checks, results: alive(true, true), rules: rules{health: "all"}, want: in},
		{name: "all: one fails", checks: checks, results: alive(true, false), before: true, rules: rules{health: "all"}, want: out},
		{name: "all: one is missing", checks: checks, results: alive(true), rules: rules{health: "all"}, want: undecided},
		{name: "all: one is missing, alive before", checks: checks, results: alive(true), before: true, rules: rules{health: "all"}, want: in},
		{name: "all: no checks", rules: rules{health: "all"}, want: in},
		{name: "ignore", checks: checks, results: alive(false), rules: rules{health: "ignore"}, want: in},
		{name: "staging", state: "TASK_STAGING", want: out},
		{name: "starting", state: "TASK_STARTING", want: out},
		{name: "killing", state: "TASK_KILLING", checks: checks, results: alive(true, true), want: out},
		{name: "finished", state: "TASK_FINISHED", want: out},
		{name: "gone", state: "TASK_GONE_BY_OPERATOR", want: out},
		{name: "unreachable", state: "TASK_UNREACHABLE", want: in},
		{name: "lost", state: "TASK_LOST", checks: checks, want: in},
		{name: "unreachable and failing", state: "TASK_UNREACHABLE", checks: checks, results: alive(false), want: in},
		{name: "lost and failing", state: "TASK_LOST", checks: checks, results: alive(false, false), rules: rules{health: "all"}, want: in},
		{name: "unreachable, waiting for readiness", state: "TASK_UNREACHABLE", rules: rules{readiness: true}, want: in},
		{name: "no state, waiting for readiness", state: "-", rules: rules{readiness: true}, want: in},
		{name: "unreachable: drop", state: "TASK_UNREACHABLE", rules: rules{dropUnreachable: true}, want: out},
		{name: "lost: drop", state: "TASK_LOST", rules: rules{dropUnreachable: true}, want: out},
		{name: "no state, started", state: "-", want: in},
		{name: "no state, not started", state: "-", unstarted: true, want: out},
		{name: "unknown state", state: "TASK_ODD", reason: `unknown state "TASK_ODD"`},
		{name: "tasks alone, no results", undefined: true, want: in},
		{name: "tasks alone, failing", undefined: true, results: alive(false), want: out},
		{name: "tasks alone, alive", undefined: true, results: alive(true), want: in},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			task := marathonconn.Task{ID: "x", Host: "h", Ports: []marathonconn.Number{80}, State: "TASK_RUNNING", StartedAt: minuteAgo(), Results: c.results}
			if c.state != "" {
				task.State = strings.TrimPrefix(c.state, "-")
			}
			if c.unstarted {
				task.StartedAt = time.Time{}
			}
			app := &marathonconn.App{Defined: !c.undefined, HealthChecks: c.checks, Tasks: []marathonconn.Task{task}}
			m := newMemory()
			if c.before {
				m.alive("h:80", minuteAgo())
			}
			if c.rules.health == "" {
				c.rules.health = "any"
			}
			m.sees(app, now)
			v := c.rules.task(app, &task, m, now)
			if v.standing != c.want || c.reason == "" && v.reason != "" || !strings.Contains(v.reason, c.reason) {
				t.Errorf("standing %d, reason %q; want %d, %q", v.standing, v.reason, c.want, c.reason)
			}
		})
	}
}

func TestFailingIsRemembered(t *testing.T) {
	r := rules{health: "any"}
	a := &marathonconn.App{Defined: true, HealthChecks: make([]marathonconn.HealthCheck, 1)}
	m := newMemory()
	m.sees(a, now)
	say := func(results ...bool) standing {
		task := marathonconn.Task{Host: "h", Ports: []marathonconn.Number{80}, State: "TASK_RUNNING", Results: alive(results...)}
		return r.task(a, &task, m, now).standing
	}
	if got := []standing{say(true), say(), say(false), say()}; !cmp.Equal(got, []standing{in, in, out, undecided}) {
		t.Error(got)
	}
	say(true)
	m.sweep(now.Add(remember + 1))
	if say() != undecided {
		t.Error("an address is remembered for ever")
	}
	for i := range maxMemory + 10 {
		m.alive(string(rune(i)), now)
	}
	if len(m.last) > maxMemory {
		t.Errorf("%d addresses are remembered", len(m.last))
	}
}

// Without its definition an app is known by its results; a leader that has none
// lets nobody in who failed, or was never seen alive.
func TestResultsThatVanish(t *testing.T) {
	r, m := rules{health: "any"}, newMemory()
	task := func(host string, results ...bool) marathonconn.Task {
		return marathonconn.Task{ID: host, Host: host, Ports: []marathonconn.Number{80}, State: "TASK_RUNNING", Results: alive(results...)}
	}
	count := func(at time.Time, tasks ...marathonconn.Task) []string {
		c := r.count(&marathonconn.App{Tasks: tasks}, m, at)
		return addresses(c.builder.Update().Backends)
	}
	got := [][]string{
		count(now, task("h1", true), task("h2", false), task("h3")),
		count(now.Add(time.Second), task("h1"), task("h2"), task("h3")), // a new leader
		count(now.Add(time.Minute), task("h1", true), task("h2", true), task("h3")),
		count(now.Add(time.Minute+remember), task("h1"), task("h2"), task("h3")), // the app has no checks any more
	}
	want := [][]string{{"h1:80"}, {"h1:80"}, {"h1:80", "h2:80"}, {"h1:80", "h2:80", "h3:80"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// A partition that hides all agents takes no task away.
func TestAllAgentsOutOfSight(t *testing.T) {
	for name, r := range map[string]rules{
		"any":       {health: "any"},
		"all":       {health: "all"},
		"readiness": {health: "any", readiness: true},
	} {
		a := &marathonconn.App{Defined: true, HealthChecks: make([]marathonconn.HealthCheck, 1), Tasks: []marathonconn.Task{
			{ID: "a", Host: "h1", Ports: []marathonconn.Number{1}, State: "TASK_UNREACHABLE", Results: alive(false)},
			{ID: "b", Host: "h2", Ports: []marathonconn.Number{1}, State: "TASK_LOST"},
		}}
		c := r.count(a, newMemory(), now)
		if d := cmp.Diff([]string{"h1:1", "h2:1"}, addresses(c.builder.Update().Backends)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Bamboo's rule for readiness.
func TestReadiness(t *testing.T) {
	check := []marathonconn.ReadinessCheck{{TimeoutSeconds: 30}}
	deploying := make([]struct{}, 1)
	result := func(id string, ready bool) []marathonconn.ReadinessState {
		return []marathonconn.ReadinessState{{TaskID: id, Ready: ready}}
	}
	cases := []struct {
		name  string
		app   marathonconn.App
		state string
		age   time.Duration
		want  bool
		again time.Duration // after the start
	}{
		{name: "unreachable, no deployment", app: marathonconn.App{}, state: "TASK_UNREACHABLE", age: time.Hour, want: true},
		{name: "unreachable, not ready", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check, ReadinessResults: result("x", false)}, state: "TASK_UNREACHABLE", age: time.Hour},
		{name: "without a state", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check, ReadinessResults: result("x", true)}, state: "-", want: true},
		{name: "no deployment", app: marathonconn.App{ReadinessChecks: check, ReadinessResults: result("x", false)}, want: true},
		{name: "no readiness checks", app: marathonconn.App{Deployments: deploying}, want: true},
		{name: "ready", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check, ReadinessResults: result("x", true)}, want: true},
		{name: "not ready", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check, ReadinessResults: result("x", false)}, age: time.Hour},
		{name: "no result, young", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check, ReadinessResults: result("y", true)}, age: 34 * time.Second, again: 35 * time.Second},
		{name: "no result, old", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check}, age: 35 * time.Second, want: true},
		{name: "no timeout, young", app: marathonconn.App{Deployments: deploying, ReadinessChecks: make([]marathonconn.ReadinessCheck, 1)}, age: 14 * time.Second, again: 15 * time.Second},
		{name: "no timeout, old", app: marathonconn.App{Deployments: deploying, ReadinessChecks: make([]marathonconn.ReadinessCheck, 1)}, age: 15 * time.Second, want: true},
		{name: "not started", app: marathonconn.App{Deployments: deploying, ReadinessChecks: check}, age: -1},
	}
	for _, c := range cases {
		task := marathonconn.Task{ID: "x", State: "TASK_RUNNING", StartedAt: now.Add(-c.age)}
		if c.state != "" {
			task.State = strings.TrimPrefix(c.state, "-")
		}
		if c.age < 0 {
			task.StartedAt = time.Time{}
		}
		ready, again := readyNow(&c.app, &task, now)
		want := time.Time{}
		if c.again != 0 {
			want = task.StartedAt.Add(c.again)
		}
		if ready != c.want || !again.Equal(want) {
			t.Errorf("%s: %v, again %v; want %v, %v", c.name, ready, again, c.want, want)
		}
	}
}

// app decodes a definition as Marathon writes it.
func app(t *testing.T, text string) *marathonconn.App {
	t.Helper()
	a := &marathonconn.App{}
	if err := json.Unmarshal([]byte(text), a); err != nil {
		t.Fatal(err)
	}
	a.Defined = true
	return a
}

func TestPlace(t *testing.T) {
	const (
		host    = `{"networks":[{"mode":"host"}],"portDefinitions":[{"port":10000,"name":"http"},{"port":10001,"name":"admin"}]}`
		bridge  = `{"networks":[{"mode":"container/bridge"}],"container":{"portMappings":[{"containerPort":80,"servicePort":10000,"name":"http"},{"containerPort":81,"servicePort":10001,"name":"admin"}]}}`
		own     = `{"networks":[{"mode":"container","name":"dcos"}],"container":{"portMappings":[{"containerPort":80,"servicePort":10000,"name":"http"},{"containerPort":81,"servicePort":10001,"name":"admin"}]}}`
		oldHost = `{"ports":[10000,10001],"container":{"docker":{"network":"HOST","portMappings":[]}}}`
		oldBr   = `{"ports":[10000,10001],"container":{"docker":{"network":"BRIDGE","portMappings":[{"containerPort":80,"servicePort":10000},{"containerPort":81,"servicePort":10001,"name":"admin"}]}}}`
		oldUser = `{"ipAddress":{},"container":{"docker":{"network":"USER","portMappings":[{"containerPort":80},{"containerPort":81,"name":"admin"}]}}}`
		oldIP   = `{"ipAddress":{"discovery":{"ports":[{"number":80,"name":"http"},{"number":81,"name":"admin"}]}}}`
		twice   = `{"portDefinitions":[{"port":1,"name":"http"},{"port":2,"name":"http"}]}`
		bare    = `{}`
	)
	cases := []struct {
		name, app string
		place     place
		want, err string
	}{
		{name: "host", app: host, want: "h:31000"},
		{name: "host, index", app: host, place: place{index: 1}, want: "h:31001"},
		{name: "host, name", app: host, place: place{name: "admin"}, want: "h:31001"},
		{name: "host, service port", app: host, place: place{service: 10001}, want: "h:31001"},
		{name: "host, number", app: host, place: place{port: 8080}, want: "h:8080"},
		{name: "bridge", app: bridge, place: place{name: "admin"}, want: "h:31001"},
		{name: "bridge, service port", app: bridge, place: place{service: 10001}, want: "h:31001"},
		{name: "own address", app: own, want: "9.0.0.1:80"},
		{name: "own address, name", app: own, place: place{name: "admin"}, want: "9.0.0.1:81"},
		{name: "own address, second", app: own, place: place{ip: 1}, want: "9.0.0.2:80"},
		{name: "own address, IPv6 is last", app: own, place: place{ip: 2}, want: "[fd00::1]:80"},
		{name: "own address, number", app: own, place: place{port: 9}, want: "9.0.0.1:9"},
		{name: "own address, but the host", app: own, place: place{onHost: true}, want: "h:31000"},
		{name: "old host", app: oldHost, place: place{service: 10001}, want: "h:31001"},
		{name: "old bridge", app: oldBr, place: place{name: "admin"}, want: "h:31001"},
		{name: "old user network", app: oldUser, place: place{name: "admin"}, want: "9.0.0.1:81"},
		{name: "old address per task", app: oldIP, place: place{name: "admin"}, want: "9.0.0.1:81"},
		{name: "service port of the task alone", app: bare, place: place{service: 10001}, want: "h:31001"},
		{name: "index out of range", app: host, place: place{index: 2}, err: "no port with index 2: it has 2"},
		{name: "own, index out of range", app: own, place: place{index: 2}, err: "no port with index 2: its app maps 2"},
		{name: "ip_index out of range", app: own, place: place{ip: 3}, err: "no address with ip_index 3"},
		{name: "unknown name", app: host, place: place{name: "ftp"}, err: `no port with port_name "ftp"`},
		{name: "name given twice", app: twice, place: place{name: "http"}, err: "more than one port"},
		{name: "override needs no port", app: host, place: place{name: "ftp", override: 80}, want: "h:80"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			task := &marathonconn.Task{
				Host: "h", Ports: []marathonconn.Number{31000, 31001}, ServicePorts: []marathonconn.Number{10000, 10001},
				IPAddresses: []marathonconn.TaskAddress{{IPAddress: "fd00::1"}, {IPAddress: "9.0.0.1"}, {IPAddress: "odd"}, {IPAddress: "9.0.0.2"}},
			}
			host, port, err := c.place.of(app(t, c.app), task)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if got := (service.Backend{Host: host, Port: port}).Address(); err != nil || got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// One malformed task is named and left out; the others are in order.
func TestCount(t *testing.T) {
	a := &marathonconn.App{Defined: true, Tasks: []marathonconn.Task{
		{ID: "c", Host: "h3", Ports: []marathonconn.Number{1}, State: "TASK_RUNNING"},
		{ID: "bad", Host: "h2", State: "TASK_RUNNING"},
		{ID: "worse", Fault: "cannot be read"},
		{ID: "b", Host: "h1", Ports: []marathonconn.Number{2}, State: "TASK_RUNNING"},
		{ID: "a", Host: "h1", Ports: []marathonconn.Number{1}, State: "TASK_RUNNING"},
	}}
	c := rules{health: "any"}.count(a, newMemory(), now)
	u := c.builder.Update()
	if d := cmp.Diff([]string{"h1:1", "h1:2", "h3:1"}, addresses(u.Backends)); d != "" {
		t.Error(d)
	}
	want := []service.Rejection{{Entry: "bad", Reason: "has no port with index 0: it has 0"}, {Entry: "worse", Reason: "cannot be read"}}
	if d := cmp.Diff(want, u.Rejected); d != "" {
		t.Error(d)
	}
}

// Recorded apps of Marathon 0.15 and 1.5, as their definitions and tasks came.
func TestRecordedApps(t *testing.T) {
	for name, want := range map[string]map[string][]string{
		"zdd_apps.json": {
			"/nginx-green": {"10.0.6.25:16916", "10.0.6.25:23336", "10.0.6.25:31184"},
			"/nginx-blue":  {"10.0.1.147:25724"},
		},
		"marathon15_apps.json": {"/pywebserver": {"10.0.2.148:1565"}},
	} {
		sim := newRecorded(t, name)
		for id, addresses := range want {
			o := options(t, section(sim, `, "port_index": 0`))
			o.App = id
			start(t, newWatcher(t, o, Deps{})).want(t, addresses...)
		}
	}
}

// Recorded definitions, some as they are sent to Marathon, with tasks of ours:
// the place of a port is found in each form.
func TestRecordedDefinitions(t *testing.T) {
	for name, c := range map[string]struct{ more, want string }{
		"1-nginx.json":             {`, "service_port": 10000`, "h1:31000"}, // a port mapping of Docker's, until 1.4
		"1-nginx-marathon1.5.json": {`, "service_port": 10000`, "h1:31000"},
		"app_list.json":            {`, "service_port": 10015`, "h1:31001"}, // the second of ports
		"apps_create.json":         {`, "port_index": 1`, "h1:31001"},
	} {
		for _, definition := range definitions(t, recorded(t, name)) {
			definition["tasks"] = []any{map[string]any{
				"id": "task", "host": "h1", "ports": []int{31000, 31001}, "state": "TASK_RUNNING", "startedAt": "2015-08-26T20:23:44.678Z",
				"healthCheckResults": []any{map[string]any{"alive": true}},
			}}
			definition["id"] = id
			body, err := json.Marshal(map[string]any{"apps": []any{definition}})
			if err != nil {
				t.Fatal(err)
			}
			sim := marathonsim.Start(t)
			sim.Load(t, body)
			start(t, newWatcher(t, options(t, section(sim.URL, c.more)), Deps{})).want(t, c.want)
		}
	}
}

// definitions returns those of a recording: a list under apps, a bare list, or
// one alone.
func definitions(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	var list []map[string]any
	if json.Unmarshal(data, &list) == nil {
		return list
	}
	var one map[string]any
	if err := json.Unmarshal(data, &one); err != nil {
		t.Fatal(err)
	}
	apps, ok := one["apps"].([]any)
	if !ok {
		return []map[string]any{one}
	}
	for _, a := range apps {
		list = append(list, a.(map[string]any))
	}
	return list
}

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../test/marathonsim/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
