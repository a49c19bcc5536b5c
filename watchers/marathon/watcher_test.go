package marathon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/marathonconn"
	"smartstack/internal/service"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// options reads a section as the configuration file holds it.
func options(t testing.TB, text string) Options {
	t.Helper()
	var o Options
	r := &config.Report{Strict: true}
	n, err := config.Parse("test.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Decode(&o, r)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return o
}

func section(url, more string) string {
	return fmt.Sprintf(`{"marathon_api_url": %q, "application_name": "shop/web"%s}`, url, more)
}

func newWatcher(t testing.TB, o Options, d Deps) *Watcher {
	t.Helper()
	if d.Pool == nil {
		d.Pool = marathonconn.NewPool(quiet())
	}
	d.Log = quiet()
	w, err := New(o, d)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fast lets a watcher do in milliseconds what takes seconds.
func fast(w *Watcher) *Watcher {
	w.pace.Check, w.pace.Resync = 20*time.Millisecond, 50*time.Millisecond
	return w
}

const id = "/shop/web"

func TestContract(t *testing.T) {
	for _, transport := range []string{"events", "poll"} {
		t.Run(transport, func(t *testing.T) {
			watchertest.Run(t, func(t *testing.T) watchertest.Registry { return registry(t, transport) })
		})
	}
}

func registry(t *testing.T, transport string) watchertest.Registry {
	sim, mute := marathonsim.Start(t), marathonsim.Start(t)
	mute.Instead(marathonsim.Hang)
	mute.InsteadOfStream(marathonsim.Hang)
	var tasks []marathonsim.Task
	set := func(instances int) {
		sim.Set(marathonsim.App{ID: id, Instances: instances, HealthChecks: 1, Tasks: tasks})
		sim.Changed(id)
	}
	return watchertest.Registry{
		New: func() service.Watcher {
			return fast(newWatcher(t, options(t, section(sim.URL, `, "transport": "`+transport+`"`)), Deps{}))
		},
		Silent: func() service.Watcher { return newWatcher(t, options(t, section(mute.URL, "")), Deps{}) },
		Set: func(backends ...service.Backend) {
			tasks = nil
			for _, b := range backends {
				tasks = append(tasks, marathonsim.Task{Host: b.Host, Ports: []int{b.Port}, Alive: []bool{true}})
			}
			set(len(tasks))
		},
		SetBad: func() {
			tasks = append(tasks,
				marathonsim.Task{ID: "no-ports", Host: "10.0.0.9", Alive: []bool{true}},
				marathonsim.Task{ID: "odd-port", Host: "10.0.0.9", More: map[string]any{"ports": []string{"http"}}},
				marathonsim.Task{ID: "odd-host", Host: "10.0.0.9\nserver evil", Ports: []int{1}, Alive: []bool{true}},
				marathonsim.Task{ID: "odd-state", Host: "10.0.0.9", State: "TASK_ODD", Ports: []int{1}})
			set(len(tasks))
		},
		Break: func() (repair func()) {
			sim.Instead(marathonsim.Status(502, "<html>no leader</html>"))
			sim.InsteadOfStream(marathonsim.Status(502, "<html>no leader</html>"))
			sim.CutStreams()
			return func() { sim.Instead(nil); sim.InsteadOfStream(nil) }
		},
		Want: func(b service.Backend) service.Backend { b.Name = b.Host; return b },
	}
}

// recorder keeps what a watcher says.
type recorder struct {
	mu      sync.Mutex
	updates []service.Update
	ended   chan error
}

func start(t testing.TB, w *Watcher) *recorder {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{ended: make(chan error, 1)}
	done := make(chan struct{})
	go func() { defer close(done); r.ended <- w.Run(ctx, r.publish) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *recorder) publish(u service.Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.updates = append(r.updates, u)
}

func (r *recorder) last() (u service.Update, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n = len(r.updates); n > 0 {
		u = r.updates[n-1]
	}
	return u, n
}

func addresses(s service.Set) []string {
	list := []string{}
	for b := range s.All() {
		list = append(list, b.Address())
	}
	return list
}

func (r *recorder) want(t testing.TB, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	servers.Eventually(t, func() error {
		u, n := r.last()
		if d := cmp.Diff(want, addresses(u.Backends)); n == 0 || d != "" {
			return fmt.Errorf("%d words, the last: %s", n, d)
		}
		return nil
	})
}

func web(instances int, tasks ...marathonsim.Task) marathonsim.App {
	return marathonsim.App{ID: id, Instances: instances, HealthChecks: 1, Tasks: tasks}
}

func task(host string, alive ...bool) marathonsim.Task {
	return marathonsim.Task{Host: host, Ports: []int{31000}, Alive: alive}
}

// awaitReads waits until the app was read n more times, so that a watcher has
// had the occasion to say something wrong.
func awaitReads(t *testing.T, sim *marathonsim.Sim, n int) {
	t.Helper()
	until := sim.Reads(id) + n
	servers.Eventually(t, func() error {
		if now := sim.Reads(id); now < until {
			return fmt.Errorf("%d reads, want %d", now, until)
		}
		return nil
	})
}

// Nothing that Marathon says while it is not well takes a backend away.
func TestNothingLeavesByAccident(t *testing.T) {
	faults := map[string]func(*marathonsim.Sim){
		"502":            func(s *marathonsim.Sim) { s.Instead(marathonsim.Status(502, `{"message":"no leader"}`)) },
		"HTML":           func(s *marathonsim.Sim) { s.Instead(marathonsim.Status(200, `<html>`)) },
		"bad JSON":       func(s *marathonsim.Sim) { s.Instead(marathonsim.JSON(`{"app":`)) },
		"key missing":    func(s *marathonsim.Sim) { s.Instead(marathonsim.JSON(`{}`)) },
		"401":            func(s *marathonsim.Sim) { s.Instead(marathonsim.Status(401, `{"message":"x"}`)) },
		"403":            func(s *marathonsim.Sim) { s.Instead(marathonsim.Status(403, ``)) },
		"app unknown":    func(s *marathonsim.Sim) { s.Delete(id) },
		"404 of a proxy": func(s *marathonsim.Sim) { s.Instead(marathonsim.Status(404, `<html>`)) },
		"no tasks":       func(s *marathonsim.Sim) { s.Set(web(2)) },
		"no results":     func(s *marathonsim.Sim) { s.Set(web(2, task("h1"), task("h2"))) },
		"empty results":  func(s *marathonsim.Sim) { s.Set(web(2, task("h1", []bool{}...), task("h2", []bool{}...))) },
		"only malformed tasks": func(s *marathonsim.Sim) {
			s.Set(web(2, marathonsim.Task{Host: "h1", Alive: []bool{true}}, marathonsim.Task{Host: "h2", Alive: []bool{true}}))
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			sim := marathonsim.Start(t)
			sim.Set(web(2, task("h1", true), task("h2", true)))
			r := start(t, fast(newWatcher(t, options(t, section(sim.URL, "")), Deps{})))
			r.want(t, "h1:31000", "h2:31000")
			fault(sim)
			sim.Changed(id)
			awaitReads(t, sim, 2)
			r.want(t, "h1:31000", "h2:31000")
			sim.Instead(nil)
			sim.Set(web(1, task("h3", true)))
			sim.Changed(id)
			r.want(t, "h3:31000")
			r.mu.Lock()
			defer r.mu.Unlock()
			for i, u := range r.updates {
				if u.Backends.Len() == 0 {
					t.Errorf("word %d of %d is empty", i+1, len(r.updates))
				}
			}
		})
	}
}

func TestFollowsWhatLasts(t *testing.T) {
	for name, becomes := range map[string]func(*marathonsim.Sim){
		"no tasks": func(s *marathonsim.Sim) { s.Set(web(2)) },
		"unknown":  func(s *marathonsim.Sim) { s.Delete(id) },
		"nobody knows its health, and new": func(s *marathonsim.Sim) {
			s.Set(web(1, task("h9")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim := marathonsim.Start(t)
			sim.Set(web(1, task("h1", true)))
			w := fast(newWatcher(t, options(t, section(sim.URL, "")), Deps{}))
			w.emptyGrace, w.goneAfter = 300*time.Millisecond, 300*time.Millisecond
			r := start(t, w)
			r.want(t, "h1:31000")
			becomes(sim)
			r.want(t)
			if u, _ := r.last(); u.Emptied != (name == "unknown") {
				t.Errorf("emptied by its owner: %v", u.Emptied)
			}
			sim.Set(web(1, task("h1", true)))
			r.want(t, "h1:31000")
		})
	}
}

func TestDeletedAppLeavesAtOnce(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(web(1, task("h1", true)))
	r := start(t, fast(newWatcher(t, options(t, section(sim.URL, `, "gone_after": 3600`)), Deps{})))
	r.want(t, "h1:31000")
	servers.Eventually(t, func() error {
		if open, _ := sim.Streams(); open == 0 {
			return errors.New("no stream")
		}
		return nil
	})
	sim.Delete(id)
	sim.Emit("app_terminated_event", map[string]any{"appId": id})
	r.want(t)
	if u, _ := r.last(); !u.Emptied {
		t.Error("the owner's decision is not told")
	}
}

func TestSuspendedAppIsEmptyAtOnce(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(web(1, task("h1", true)))
	r := start(t, fast(newWatcher(t, options(t, section(sim.URL, `, "empty_grace": 3600`)), Deps{})))
	r.want(t, "h1:31000")
	sim.Set(web(0))
	r.want(t)
	if u, _ := r.last(); !u.Emptied {
		t.Error("the owner's decision is not told")
	}
}

// The original's file, against answers of the original's call alone.
func TestOriginalsOptions(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Instead(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/marathon/v2/apps/shop/web/tasks" {
			marathonsim.Status(404, "<html>")(w, r)
			return
		}
		marathonsim.JSON(`{"tasks":[
			{"id":"2","host":"h2","ports":[1,2],"startedAt":"2015-08-26T20:23:44.678Z"},
			{"id":"1","host":"h1","ports":[3,4],"startedAt":"2015-08-26T20:23:44.678Z"},
			{"id":"3","host":"h3","ports":[5,6]}]}`)(w, r)
	})
	sim.InsteadOfStream(marathonsim.Status(404, ""))
	for _, path := range []string{"/marathon/v2/apps/%{app}/tasks", "marathon/v2/apps/shop/web/tasks"} {
		o := options(t, section(sim.URL, `, "marathon_api_path": "`+path+`", "port_index": "1", "check_interval": 1`))
		r := start(t, newWatcher(t, o, Deps{}))
		r.want(t, "h1:4", "h2:2")
		u, _ := r.last()
		for b := range u.Backends.All() {
			if b.Name != b.Host {
				t.Errorf("name %q of %s", b.Name, b.Address())
			}
		}
	}
}

// Another run of the program, or a new leader, knows no results: who served
// before still serves.
func TestMemorySurvivesARestart(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(web(3, task("h1", true), task("h2"), task("h3")))
	known := func() service.Set { return service.SetOf(service.Backend{Name: "h2", Host: "h2", Port: 31000}) }
	start(t, newWatcher(t, options(t, section(sim.URL, "")), Deps{Known: known})).want(t, "h1:31000", "h2:31000")
	known = func() service.Set { return service.SetOf(service.Backend{Name: "h2", Host: "h2", Port: 80}) }
	start(t, newWatcher(t, options(t, section(sim.URL, "")), Deps{Known: known, Override: 80})).want(t, "h1:31000", "h2:31000")
	start(t, newWatcher(t, options(t, section(sim.URL, "")), Deps{})).want(t, "h1:31000")
}

func TestRunComplainsWhenItLasts(t *testing.T) {
	sim := marathonsim.Start(t) // knows no app
	w := fast(newWatcher(t, options(t, section(sim.URL, "")), Deps{}))
	w.patience = 100 * time.Millisecond
	r := start(t, w)
	servers.Eventually(t, func() error {
		select {
		case err := <-r.ended:
			if err == nil || !strings.Contains(err.Error(), id) {
				t.Errorf("Run: %v", err)
			}
			return nil
		default:
			return errors.New("Run goes on")
		}
	})
	if _, n := r.last(); n != 0 {
		t.Errorf("%d words about an app that is not there", n)
	}
}

func TestServicesShareOneStream(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(web(1, task("h1", true)))
	pool := marathonconn.NewPool(quiet())
	for range 5 {
		start(t, newWatcher(t, options(t, section(sim.URL, "")), Deps{Pool: pool})).want(t, "h1:31000")
	}
	servers.Eventually(t, func() error {
		if open, ever := sim.Streams(); open != 1 || ever != 1 {
			return fmt.Errorf("%d streams of %d", open, ever)
		}
		return nil
	})
	if n := sim.Reads(id); n > 3 {
		t.Errorf("%d reads of one app for five services", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for more, want := range map[string]string{
		`, "transport": "carrier pigeon"`:                           "transport: want events or poll",
		`, "health": "some"`:                                        "health: want any or all or ignore",
		`, "unreachable": "x"`:                                      "unreachable",
		`, "address": "x"`:                                          "address",
		`, "port_index": 0, "port_name": "http"`:                    "keep one",
		`, "service_port": 70000`:                                   "service_port",
		`, "marathon_api_path": "/a b"`:                             "marathon_api_path",
		`, "user": "u"`:                                             "go together",
		`, "token": "hidden", "user": "u", "password_file": "file"`: "keep one",
	} {
		_, err := New(options(t, section("http://m:8080", more)), Deps{Log: quiet()})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", more, err, want)
		}
	}
	for _, c := range [][2]string{{"m:8080", "URL"}, {"http://u:hidden@m", "credentials"}} {
		if _, err := New(options(t, section(c[0], "")), Deps{Log: quiet()}); err == nil || !strings.Contains(err.Error(), c[1]) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", c[0], err)
		}
	}
	o := options(t, section("http://m", ""))
	if o.App = "/"; true {
		if _, err := New(o, Deps{Log: quiet()}); err == nil {
			t.Error("an app without a name")
		}
	}
}

func TestShortReadDeadlineIsOdd(t *testing.T) {
	for more, odd := range map[string]bool{"": false, `, "read_deadline": 5`: true, `, "read_deadline": 5, "transport": "poll"`: false} {
		var log bytes.Buffer
		if _, err := New(options(t, section("http://m", more)), Deps{Log: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "heartbeat") != odd {
			t.Errorf("%s: %q", more, log.String())
		}
	}
}

func newRecorded(t *testing.T, name string) (url string) {
	sim := marathonsim.Start(t)
	sim.Load(t, recorded(t, name))
	return sim.URL
}
