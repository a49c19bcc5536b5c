package watchers

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/watchers/watchertest"
)

// The shared suite, over two directories of registrations.
func TestMultiContract(t *testing.T) {
	for _, method := range []string{"union", "prefer", "fallback", "s3_toggle"} {
		t.Run(method, func(t *testing.T) {
			watchertest.Run(t, func(t *testing.T) watchertest.Registry { return multiRegistry(t, method) })
		})
	}
}

func multiRegistry(t *testing.T, method string) watchertest.Registry {
	dirs := []string{filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")}
	write := func(dir, name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	more := ""
	deps := testDeps()
	if method == "s3_toggle" {
		more = `, "s3_url": "s3://bucket/key", "s3_polling_interval_seconds": 1`
		deps.Toggles = NewToggles(quiet(), nil)
		deps.Toggles.open = func() readObject {
			return func(context.Context, string, string) ([]byte, error) { return []byte("primary: 1"), nil }
		}
	}
	build := func(dirs []string) service.Watcher {
		text := `{"method": "multi", "resolver": {"method": "` + method + `"` + more + `}, "watchers": {
			"primary": {"method": "file", "path": "` + dirs[0] + `"},
			"second": {"method": "file", "path": "` + dirs[1] + `"}}}`
		r := &config.Report{Strict: true}
		w := New(parse(t, text), deps, r)
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		return w
	}
	return watchertest.Registry{
		Tells: true,
		New:   func() service.Watcher { return build(dirs) },
		Silent: func() service.Watcher {
			return build([]string{filepath.Join(dirs[0], "none"), filepath.Join(dirs[1], "none")})
		},
		Set: func(backends ...service.Backend) {
			names := []string{}
			for i, b := range backends {
				name := b.Name + ".json"
				names = append(names, name)
				dir := dirs[0]
				if method == "union" {
					dir = dirs[i%2]
				}
				write(dir, name, service.EncodePayload(b))
			}
			for i, dir := range dirs {
				old, _ := filepath.Glob(filepath.Join(dir, "*.json"))
				for _, file := range old {
					at := slices.Index(names, filepath.Base(file))
					if at < 0 || method == "union" && at%2 != i {
						os.Remove(file)
					}
				}
			}
		},
		SetBad: func() { write(dirs[0], "bad.json", []byte("{")) },
		Break: func() func() {
			for _, d := range dirs {
				if err := os.Rename(d, d+".away"); err != nil {
					t.Fatal(err)
				}
			}
			return func() {
				for _, d := range dirs {
					if err := os.Rename(d+".away", d); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	}
}

// fake is a source that the test speaks through.
type fake struct {
	says chan any // service.Update or error
	runs int
}

func (f *fake) Run(ctx context.Context, publish func(service.Update)) error {
	f.runs++
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-f.says:
			switch v := v.(type) {
			case service.Update:
				publish(v)
			case error:
				return v
			}
		}
	}
}

func of(hosts ...string) service.Update {
	var all []service.Backend
	for _, h := range hosts {
		all = append(all, service.Backend{Host: h, Port: 1})
	}
	return service.Update{Backends: service.SetOf(all...)}
}

// bench is a multi over fakes, in a synctest bubble.
type bench struct {
	t     *testing.T
	m     *multi
	fakes map[string]*fake
	words []string
	err   error
	stop  func()
}

func newBench(t *testing.T, res resolver, names ...string) *bench {
	b := &bench{t: t, m: &multi{log: quiet(), resolver: res}, fakes: map[string]*fake{}}
	for _, name := range names {
		b.fakes[name] = &fake{says: make(chan any)}
		b.m.sources = append(b.m.sources, &source{child: child{name: name}, watcher: b.fakes[name]})
	}
	return b
}

func (b *bench) run() {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.err = b.m.Run(ctx, func(u service.Update) {
			var hosts []string
			for x := range u.Backends.All() {
				host := x.Host
				if x.Backup {
					host += "(backup)"
				}
				hosts = append(hosts, host)
			}
			b.words = append(b.words, strings.Join(hosts, " "))
		})
	}()
	b.stop = func() { cancel(); <-done }
	synctest.Wait()
}

// say makes a source say or fail with v, and returns what was published since
// the last call.
func (b *bench) say(name string, v any) []string {
	b.fakes[name].says <- v
	synctest.Wait()
	return b.heard()
}

func (b *bench) heard() []string {
	words := b.words
	b.words = nil
	return words
}

func (b *bench) want(got []string, want ...string) {
	b.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("published (-want +got):\n%s", d)
	}
}

var errAway = errors.New("away")

func TestUnionWaitsForAllAndKeepsWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, union{}, "x", "y")
		b.run()
		b.want(b.say("y", of("y1", "y2")))
		b.want(b.say("x", of("x1")), "x1 y1 y2")
		b.want(b.say("y", errAway))
		if c := b.m.Condition(); len(c.Faults) != 1 || c.Faults[0].Part != "y" || !errors.Is(c.Faults[0].Err, errAway) {
			t.Errorf("y has failed: %+v", c)
		}
		b.want(b.say("x", of("x1", "x2")), "x1 x2 y1 y2")
		<-time.After(time.Second) // y is started again
		b.want(b.say("y", of()), "x1 x2")
		if c := b.m.Condition(); len(c.Faults) != 0 {
			t.Errorf("all are well: %+v", c)
		}
		b.stop()
		if b.err != nil || b.fakes["y"].runs != 2 {
			t.Errorf("%v, %d runs", b.err, b.fakes["y"].runs)
		}
	})
}

func TestUnionGoesOnWithoutASourceThatNeverSpoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, union{}, "x", "y")
		b.run()
		b.want(b.say("x", of("x1")))
		b.want(b.say("y", errAway), "x1")
		b.stop()
	})
}

func TestNextRunKeepsTheSetsOfSourcesThatFailInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, union{}, "x", "y")
		b.run()
		b.say("x", of("x1"))
		b.want(b.say("y", of("y1")), "x1 y1")
		b.stop()
		b.run()
		b.want(b.say("x", of("x2"))) // y has not been asked yet
		b.want(b.say("y", errAway), "x2 y1")
		b.stop()
	})
}

func TestRunEndsWhenAllFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, union{}, "x", "y")
		b.run()
		b.say("x", of("x1"))
		b.say("y", errAway)
		b.heard()
		b.want(b.say("x", errAway))
		b.stop()
		if b.err == nil || !strings.Contains(b.err.Error(), "x: away") || !strings.Contains(b.err.Error(), "y: away") {
			t.Errorf("Run returned %v", b.err)
		}
	})
}

func TestSequential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &sequential{order: []string{"x", "y"}}, "y", "x")
		b.run()
		b.want(b.say("y", of("y1")))       // x may be better
		b.want(b.say("x", of()), "y1")     // it is empty
		b.want(b.say("x", of("x1")), "x1") // back to the first
		b.want(b.say("x", errAway), "y1")
		b.want(b.say("y", of()), "")       // y stays picked, and says so honestly
		b.want(b.say("y", of("y2")), "y2") // and again
		<-time.After(time.Second)
		b.want(b.say("x", of("x2")), "x2")
		b.want(b.say("y", errAway))
		b.want(b.say("x", of()), "")
		b.stop()
	})
}

func TestSequentialSaysNothingWhileItIsUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &sequential{order: []string{"x", "y"}}, "x", "y")
		b.run()
		b.want(b.say("x", errAway))
		b.want(b.say("y", of())) // x may have backends
		<-time.After(time.Second)
		b.want(b.say("x", of()), "") // now it is honest
		b.stop()
	})
}

func TestPrefer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, prefer{order: []string{"x", "y"}}, "y", "x")
		b.run()
		b.want(b.say("y", of("both", "y1")))
		b.want(b.say("x", of("x1", "both")), "x1 both y1(backup)")
		b.want(b.say("x", of()), "both(backup) y1(backup)")
		b.stop()
	})
}

func TestToggleMovesOnlyToASourceThatHasSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &toggle{current: primary}, primary, "y")
		var pick *pickSlot
		b.m.follow = func(slot *pickSlot) func() { pick = slot; return func() {} }
		b.run()
		throw := func(name string) []string { pick.Put(name); synctest.Wait(); return b.heard() }
		b.want(b.say(primary, of("p1")), "p1")
		b.want(throw("y"))
		b.want(b.say("y", of("y1")), "y1")
		b.want(throw("nobody"))
		b.want(b.say(primary, of("p2")), "y1")
		b.want(throw(primary), "p2")
		b.want(b.say(primary, errAway))
		b.stop()
	})
}

func TestCombinedUpdateTellsRejectionsAndGenerators(t *testing.T) {
	generators := func(text string) map[string]json.RawMessage {
		return map[string]json.RawMessage{"haproxy": json.RawMessage(text)}
	}
	reject := func(n int) service.Update {
		var b service.Builder
		for range n {
			b.Reject("entry", "reason")
		}
		return b.Update()
	}
	x, y := reject(50), reject(50)
	y.Generators = generators(`{"a":1}`)
	u, _, ok := union{}.resolve([]child{
		{name: "x", update: x, spoken: true, decided: true},
		{name: "y", update: y, spoken: true, decided: true},
		{name: "z", update: service.Update{Generators: generators(`{}`)}, spoken: true, decided: true},
	})
	if !ok || u.RejectedTotal != 100 || len(u.Rejected) != service.MaxRejected || u.Rejected[0].Entry != "x: entry" || u.Rejected[60].Entry != "y: entry" {
		t.Errorf("%v, %d of %d rejections", ok, len(u.Rejected), u.RejectedTotal)
	}
	if string(u.Generators["haproxy"]) != `{"a":1}` {
		t.Errorf("generators %s", u.Generators)
	}
}

func TestBaseResolverFindsNothing(t *testing.T) {
	r := &config.Report{}
	w := New(parse(t, `{"method": "multi", "watchers": {"x": {"method": "base"}}, "resolver": {"method": "base"}}`), testDeps(), r)
	if r.Err() != nil || len(r.Warnings()) != 1 {
		t.Fatalf("%v %q", r.Err(), r.Warnings())
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.Run(ctx, func(u service.Update) {
		if u.Backends.Len() > 0 {
			t.Error("backends")
		}
		cancel()
	}); err != nil {
		t.Error(err)
	}
}

func TestMultiFaults(t *testing.T) {
	two := `"watchers": {"a": {"method": "base"}, "b": {"method": "base"}}`
	for text, want := range map[string]string{
		`{"method": "multi", "resolver": {"method": "union"}}`:                                                                                                            "at least one",
		`{"method": "multi", "watchers": {}, "resolver": {"method": "union"}}`:                                                                                            "at least one",
		`{"method": "multi", ` + two + `}`:                                                                                                                                "resolver",
		`{"method": "multi", ` + two + `, "resolver": {}}`:                                                                                                                "method",
		`{"method": "multi", ` + two + `, "resolver": {"method": "best"}}`:                                                                                                `unknown resolver "best"`,
		`{"method": "multi", ` + two + `, "resolver": {"method": "sequential"}}`:                                                                                          "sequential_order",
		`{"method": "multi", ` + two + `, "resolver": {"method": "sequential", "sequential_order": ["a"]}}`:                                                               `"b" is missing`,
		`{"method": "multi", ` + two + `, "resolver": {"method": "sequential", "sequential_order": ["a","b","c"]}}`:                                                       `"c" is none of`,
		`{"method": "multi", ` + two + `, "resolver": {"method": "sequential", "sequential_order": ["a","b","a"]}}`:                                                       `"a" stands twice`,
		`{"method": "multi", ` + two + `, "resolver": {"method": "s3_toggle", "s3_url": "s3://b/k"}}`:                                                                     "s3_polling_interval_seconds",
		`{"method": "multi", ` + two + `, "resolver": {"method": "s3_toggle", "s3_url": "b/k", "s3_polling_interval_seconds": 1}}`:                                        "s3://bucket/key",
		`{"method": "multi", ` + two + `, "resolver": {"method": "s3_toggle", "s3_url": "s3://b", "s3_polling_interval_seconds": 1}}`:                                     "s3://bucket/key",
		`{"method": "multi", ` + two + `, "resolver": {"method": "s3_toggle", "s3_url": "s3://b/k", "s3_polling_interval_seconds": 1}}`:                                   "named primary",
		`{"method": "multi", "watchers": {"a": {"method": "zookeper"}}, "resolver": {"method": "union"}}`:                                                                 "watchers.a.method: unknown method",
		`{"method": "multi", ` + two + `, "resolver": {"method": ""}}`:                                                                                                    `resolver.method: unknown resolver ""`,
		`{"method": "multi", ` + two + `, "resolver": {"method": "unoin"}}`:                                                                                               `did you mean "union"?`,
		`{"method": "multi", "watchers": {"a": "zookeeper"}, "resolver": {"method": "union"}}`:                                                                            "watchers.a",
		`{"method": "multi", "watchers": {"a": {"method": "base", "label_filters": [{"label": "l", "value": "v", "condition": "is"}]}}, "resolver": {"method": "union"}}`: "equals or not-equals",
	} {
		r := &config.Report{Strict: true}
		w := New(parse(t, text), testDeps(), r)
		if err := r.Err(); w != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestCompose(t *testing.T) {
	discovery := parse(t, `{"method": "base", "label_filters": [{"label": "az", "value": "a"}]}`)
	for _, c := range []struct {
		multi, warning, fault string
		names                 []string
	}{
		{multi: `{"watchers": {"z": {"method": "base"}}, "resolver": {"method": "fallback"}}`, names: []string{"z", "primary"}},
		{multi: `{"method": "Multi", "resolver": {"method": "union"}}`, names: []string{"primary"}},
		{multi: `{"watchers": {"primary": {"method": "nonsense"}, "z": {"method": "base"}}, "resolver": {"method": "union"}}`, names: []string{"primary", "z"}, warning: "primary"},
		{multi: `{"method": "zookeeper", "resolver": {"method": "union"}}`, fault: "want multi"},
		{multi: `[]`, fault: "want an object"},
	} {
		r := &config.Report{}
		w := Compose(discovery, parse(t, c.multi), testDeps(), r)
		if err := r.Err(); c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) || w != nil {
				t.Errorf("%s: %v", c.multi, err)
			}
			continue
		} else if err != nil {
			t.Errorf("%s: %v", c.multi, err)
			continue
		}
		m := w.(*multi)
		if d := cmp.Diff(c.names, m.names()); d != "" {
			t.Errorf("%s: %s", c.multi, d)
		}
		if got := strings.Join(r.Warnings(), " "); (c.warning == "") != (got == "") || !strings.Contains(got, c.warning) {
			t.Errorf("%s: warnings %q", c.multi, got)
		}
		for _, s := range m.sources {
			if (s.name == primary) != (len(s.pass) == 1) {
				t.Errorf("%s: %s has %d filters", c.multi, s.name, len(s.pass))
			}
		}
		if f, ok := m.resolver.(*sequential); ok && f.order[0] != primary {
			t.Errorf("fallback tries %v", f.order)
		}
	}
}

func TestFiltersOfASource(t *testing.T) {
	labelled := func(host, labels string) service.Backend {
		return service.Backend{Host: host, Port: 1, Labels: service.Labels(labels)}
	}
	set := service.SetOf(labelled("a", `{"az":"x","n":1}`), labelled("b", `{"az":"y"}`), labelled("c", ""))
	for text, want := range map[string]string{
		`{}`: "a b c",
		`{"label_filters": [{"label": "az", "value": "x"}]}`:                                                                      "a",
		`{"label_filters": [{"label": "az", "value": "x", "condition": "not-equals"}]}`:                                           "b c",
		`{"label_filter": {"label": "n", "value": 1, "condition": "equals"}}`:                                                     "a",
		`{"label_filter": {"label": "az", "value": "x"}, "label_filters": {"label": "n", "value": 1, "condition": "not-equals"}}`: "",
	} {
		r := &config.Report{}
		all := Filters(parse(t, text), r)
		var got []string
		for b := range set.Filter(all).All() {
			got = append(got, b.Host)
		}
		if r.Err() != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %q", text, got, r.Err(), want)
		}
	}
}

// Several sources are emptied by their owners when each of them is.
func TestEmptiedByEveryOwner(t *testing.T) {
	gone := child{name: "a", spoken: true, decided: true, update: service.Update{Emptied: true}}
	empty := child{name: "b", spoken: true, decided: true}
	for _, r := range []resolver{union{}, prefer{order: []string{"a", "b"}}, &sequential{order: []string{"a", "b"}}} {
		if u, _, ok := r.resolve([]child{gone, empty}); !ok || u.Emptied {
			t.Errorf("%T: one of two is emptied: %+v, %v", r, u, ok)
		}
		other := gone
		other.name = "b"
		if u, _, ok := r.resolve([]child{gone, other}); !ok || !u.Emptied {
			t.Errorf("%T: both are emptied: %+v, %v", r, u, ok)
		}
	}
}
