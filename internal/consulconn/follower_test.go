package consulconn

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"smartstack/test/consulfake"
	"smartstack/test/pipenet"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quietPool() *Pool { return NewPool(slog.New(slog.DiscardHandler)) }

func target(t testing.TB, access Access, hosts ...string) Target {
	t.Helper()
	target, err := NewTarget(hosts, access)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// await waits for an answer that suits.
func await(t testing.TB, s *Subscription, suits func(*Answer) bool) *Answer {
	t.Helper()
	var last, found *Answer
	servers.Eventually(t, func() error {
		if a, ok := s.Take(); ok {
			if last = a; suits(a) {
				found = a
				return nil
			}
		}
		return fmt.Errorf("last answer %+v, fault %w", last, errors.Join(s.Fault()))
	})
	return found
}

func instances(n int) func(*Answer) bool {
	return func(a *Answer) bool { return len(a.Instances) == n }
}

func fleet(n int) []consulfake.Instance {
	var list []consulfake.Instance
	for i := range n {
		list = append(list, consulfake.Instance{Node: fmt.Sprint("n", i), Address: fmt.Sprintf("10.0.%d.%d", i/256, i%256), Port: 80})
	}
	return list
}

func awaitHeld(t *testing.T, a *consulfake.Agent, n int) {
	t.Helper()
	servers.Eventually(t, func() error {
		if now, _ := a.Held(); now != n {
			return fmt.Errorf("%d queries wait, want %d", now, n)
		}
		return nil
	})
}

// Services share what they ask for, and a change reads nothing else.
func TestCostFollowsTheChange(t *testing.T) {
	a := consulfake.Start(t)
	pool, to := quietPool(), target(t, Access{}, a.URL)
	var subs []*Subscription
	for i := range 40 {
		name := fmt.Sprint("s", i%20) // two readers each
		a.Set(name, fleet(1)...)
		s := pool.Subscribe(to, Health(name, Read{}), Pace{}, false)
		t.Cleanup(s.Close)
		subs = append(subs, s)
	}
	for _, s := range subs {
		await(t, s, instances(1))
	}
	awaitHeld(t, a, 20)
	before := len(a.Calls())
	a.Set("s7", fleet(2)...)
	await(t, subs[7], instances(2))
	await(t, subs[27], instances(2))
	awaitHeld(t, a, 20)
	for _, call := range a.Calls()[before:] {
		if !strings.HasPrefix(call, "/v1/health/service/s7?") {
			t.Errorf("a change of s7 made the call %s", call)
		}
	}
}

// More queries than connections take turns.
func TestQueriesTakeTurns(t *testing.T) {
	bubble(t, Access{MaxConnections: 3}, func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target) {
		var subs []*Subscription
		for i := range 9 {
			a.Set(fmt.Sprint("s", i), fleet(1)...)
			subs = append(subs, pool.Subscribe(to, Health(fmt.Sprint("s", i), Read{}), Pace{}, false))
			defer subs[i].Close()
		}
		<-time.After(2 * time.Minute)
		for i := range subs {
			a.Set(fmt.Sprint("s", i), fleet(2)...)
		}
		<-time.After(time.Minute) // a round of nine by threes takes half a minute
		for i, s := range subs {
			if answer, ok := s.Take(); !ok || len(answer.Instances) != 2 {
				t.Errorf("s%d: %+v, %v", i, answer, ok)
			}
		}
		if _, most := a.Held(); most > 3 {
			t.Errorf("%d connections at one time, want 3 at most", most)
		}
	})
}

// The rules of the index.
func TestIndexRules(t *testing.T) {
	for name, spoil := range map[string]func(*consulfake.Agent){
		"it goes backwards":  func(a *consulfake.Agent) { a.Restore(2) },
		"it is 0":            func(a *consulfake.Agent) { a.Header("X-Consul-Index", "0") },
		"it does not change": func(a *consulfake.Agent) { a.Header("X-Consul-Index", "99") },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Access{}, func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target) {
				a.Set("web", fleet(2)...)
				s := pool.Subscribe(to, Health("web", Read{}), Pace{}, false)
				defer s.Close()
				<-time.After(time.Second)
				take(t, s, 2)
				spoil(a)
				a.Touch()
				<-time.After(2 * time.Minute)
				before := len(a.Calls())
				<-time.After(10 * time.Minute)
				if n := len(a.Calls()) - before; n < 8 || n > 80 {
					t.Errorf("%d calls in ten minutes: want about one each minute, and never a tight loop", n)
				}
				a.Truth()
				a.Set("web", fleet(3)...)
				<-time.After(2 * time.Minute)
				take(t, s, 3)
			})
		})
	}
}

func take(t *testing.T, s *Subscription, want int) {
	t.Helper()
	if answer, ok := s.Take(); !ok || len(answer.Instances) != want {
		t.Errorf("answer %+v, want %d instances; fault %v", answer, want, s.Fault())
	}
}

// What lies about emptiness is not believed.
func TestLies(t *testing.T) {
	for name, lie := range map[string]func(*consulfake.Agent){
		"all is withheld from the token": func(a *consulfake.Agent) { a.Header("X-Consul-Results-Filtered-By-ACLs", "true"); a.Set("web") },
		"a server without a leader":      func(a *consulfake.Agent) { a.Header("X-Consul-KnownLeader", "false"); a.Set("web") },
		"no index":                       func(a *consulfake.Agent) { a.Header("X-Consul-Index", ""); a.Set("web") },
		"a page of a proxy":              func(a *consulfake.Agent) { a.Header("Content-Type", "text/html"); a.Set("web") },
		"a long silence of the leader":   func(a *consulfake.Agent) { a.Header("X-Consul-LastContact", "600000"); a.Set("web") },
		"500":                            func(a *consulfake.Agent) { a.Instead(consulfake.Status(500, "No cluster leader")) },
		"403":                            func(a *consulfake.Agent) { a.Instead(consulfake.Status(403, "ACL not found")) },
		"429":                            func(a *consulfake.Agent) { a.Instead(consulfake.Status(429, "too many")) },
		"silence":                        func(a *consulfake.Agent) { a.Instead(consulfake.Hang) },
		"an answer that is cut": func(a *consulfake.Agent) {
			a.Instead(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Consul-Index", "50")
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`[{"Node":`))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Access{}, func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target) {
				a.Set("web", fleet(2)...)
				s := pool.Subscribe(to, Health("web", Read{Stale: name == "a long silence of the leader", MaxStale: time.Second}), Pace{}, false)
				defer s.Close()
				<-time.After(time.Second)
				take(t, s, 2)
				before := len(a.Calls())
				lie(a)
				<-time.After(10 * time.Minute)              // of simulated time
				if name == "a long silence of the leader" { // the leader itself was asked then, and is believed
					take(t, s, 0)
					return
				}
				if answer, ok := s.Take(); ok {
					t.Errorf("published %d instances", len(answer.Instances))
				}
				if s.Fault() == nil {
					t.Error("no fault is told")
				}
				if n := len(a.Calls()) - before; n < 10 || n > 60 {
					t.Errorf("%d calls in ten minutes, want a few each minute at most", n)
				}
				a.Truth()
				a.Instead(nil)
				a.Set("web", fleet(3)...)
				<-time.After(2 * time.Minute)
				take(t, s, 3)
				if s.Fault() != nil {
					t.Errorf("the fault stays: %v", s.Fault())
				}
			})
		})
	}
}

// One query that is refused backs off by itself and is named once, whatever the
// others do.
func TestOneBadQueryAmongMany(t *testing.T) {
	bubble(t, Access{}, func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target) {
		var log bytes.Buffer
		pool.log = slog.New(slog.NewTextHandler(&log, nil)) // written by the follower alone
		a.InsteadOf("/v1/health/service/bad", consulfake.Status(403, "Permission denied"))
		for i := range 20 {
			a.Set(fmt.Sprint("s", i), fleet(1)...)
			defer pool.Subscribe(to, Health(fmt.Sprint("s", i), Read{}), Pace{Wait: 10 * time.Second}, false).Close()
		}
		bad := pool.Subscribe(to, Health("bad", Read{}), Pace{}, false)
		defer bad.Close()
		<-time.After(10 * time.Minute)
		calls := 0
		for _, call := range a.Calls() {
			if strings.HasPrefix(call, "/v1/health/service/bad") {
				calls++
			}
		}
		if calls < 10 || calls > 30 {
			t.Errorf("%d calls for the query that is refused, want 10 to 30", calls)
		}
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "query=/v1/health/service/bad") {
			t.Errorf("want one line about the query, got:\n%s", text)
		}
		a.InsteadOf("/v1/health/service/bad", nil)
		a.Set("bad", fleet(1)...)
		<-time.After(2 * time.Minute)
		take(t, bad, 1)
	})
}

// A fresh subscription is served at once from what is known, one that wants an
// answer of its own is not.
func TestAfresh(t *testing.T) {
	bubble(t, Access{}, func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target) {
		a.Put("up/web/10.0.0.1:80", "")
		q := Keys("up/web", Read{})
		one := pool.Subscribe(to, q, Pace{}, false)
		defer one.Close()
		<-time.After(time.Second)
		calls := len(a.Calls())
		two := pool.Subscribe(to, q, Pace{}, false)
		defer two.Close()
		synctest.Wait()
		if answer, ok := two.Take(); !ok || len(answer.Pairs) != 1 || len(a.Calls()) != calls {
			t.Errorf("%+v, %v after %d calls", answer, ok, len(a.Calls())-calls)
		}
		three := pool.Subscribe(to, q, Pace{}, true)
		defer three.Close()
		<-time.After(time.Second)
		if answer, ok := three.Take(); !ok || len(answer.Pairs) != 1 || len(a.Calls()) == calls {
			t.Errorf("%+v, %v: want an answer that was read for it", answer, ok)
		}
		a.Delete("up/web/10.0.0.1:80")
		<-time.After(time.Second)
		if answer, ok := one.Take(); !ok || len(answer.Pairs) != 0 {
			t.Errorf("%+v, %v: an empty path is an honest answer", answer, ok)
		}
	})
}

// The next agent is asked when one does not answer, and the token goes along.
func TestAgents(t *testing.T) {
	dead, a := consulfake.Start(t), consulfake.Start(t)
	dead.Instead(consulfake.Status(500, "no"))
	a.Token("secret")
	a.Set("web", fleet(1)...)
	s := quietPool().Subscribe(target(t, Access{Token: "secret"}, dead.URL, a.URL), Health("web", Read{Stale: true}), Pace{}, false)
	defer s.Close()
	await(t, s, instances(1))
	a.Set("web", fleet(2)...)
	await(t, s, instances(2))
	if n := len(dead.Calls()); n != 1 {
		t.Errorf("%d calls to the agent that refuses, want 1", n)
	}
}

// bubble runs a test in simulated time, with a fake agent behind pipes.
func bubble(t *testing.T, access Access, run func(t *testing.T, a *consulfake.Agent, pool *Pool, to Target)) {
	synctest.Test(t, func(t *testing.T) {
		a := consulfake.New()
		dial, stop := pipenet.Serve(a)
		defer stop()
		pool := quietPool()
		pool.dial = dial
		run(t, a, pool, target(t, access, "agent"))
	})
}
