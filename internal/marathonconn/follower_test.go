package marathonconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"smartstack/checks/checktest"
	"smartstack/test/marathonsim"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quietPool() *Pool { return NewPool(slog.New(slog.DiscardHandler)) }

func target(t *testing.T, access Access, urls ...string) Target {
	t.Helper()
	target, err := NewTarget(urls, access)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func subscribe(t *testing.T, p *Pool, to Target, app string, pace Pace) *Subscription {
	s := p.Subscribe(to, Query{App: app}, pace, false)
	t.Cleanup(s.Close)
	return s
}

// await waits for an answer that suits.
func await(t *testing.T, s *Subscription, suits func(*Answer) bool) *Answer {
	t.Helper()
	var last *Answer
	var found *Answer
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

func whatever(*Answer) bool { return true }

func tasks(n int) func(*Answer) bool {
	return func(a *Answer) bool { return !a.Missing && len(a.App.Tasks) == n }
}

func appOf(id string, hosts ...string) marathonsim.App {
	a := marathonsim.App{ID: id, Instances: len(hosts)}
	for _, h := range hosts {
		a.Tasks = append(a.Tasks, marathonsim.Task{Host: h, Ports: []int{31000}})
	}
	return a
}

func awaitStream(t *testing.T, sims ...*marathonsim.Sim) {
	t.Helper()
	servers.Eventually(t, func() error {
		for _, s := range sims {
			if open, _ := s.Streams(); open > 0 {
				return nil
			}
		}
		return errors.New("no stream")
	})
}

// One of many apps changes: only that one is read, and never twice at a time.
func TestAnEventReadsItsAppOnly(t *testing.T) {
	sim := marathonsim.Start(t)
	pool, to := quietPool(), target(t, Access{}, sim.URL)
	const n = 50
	var subs []*Subscription
	for i := range n {
		id := fmt.Sprintf("/app%d", i)
		sim.Set(appOf(id, "h1"))
		subs = append(subs, subscribe(t, pool, to, id, Pace{Check: time.Hour, Resync: time.Hour}))
		if i == 0 { // the others are read once, as the stream is there before them
			await(t, subs[0], tasks(1))
			awaitStream(t, sim)
			sim.Set(appOf("/app0", "h1", "h2"))
			sim.Changed("/app0")
			await(t, subs[0], tasks(2))
		}
	}
	for _, s := range subs[1:] {
		await(t, s, tasks(1))
	}
	before := len(sim.Requests())
	for i := range 20 {
		sim.Set(appOf("/app7", "h1", "h2", fmt.Sprint("h", i)))
		sim.Changed("/app7")
		sim.Changed("/nobody-watches-this")
	}
	await(t, subs[7], func(a *Answer) bool { return len(a.App.Tasks) == 3 && a.App.Tasks[2].Host == "h19" })
	for _, r := range sim.Requests()[before:] {
		if r.Path != "/v2/apps/app7" && r.Path != "/v2/apps/app0" { // app0's last read may be due
			t.Errorf("%s was read", r.Path)
		}
	}
	if read := len(sim.Requests()) - before; read > 10 {
		t.Errorf("20 events made %d reads", read)
	}
	if sim.MostAtOnce() > 1 {
		t.Errorf("%d reads of one app at a time", sim.MostAtOnce())
	}
	if _, ever := sim.Streams(); ever != 1 {
		t.Errorf("%d streams for one Marathon, want 1", ever)
	}
}

func TestLostStreamIsOpenedAgainAndEverythingRead(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Check: time.Hour, Resync: time.Hour})
	await(t, s, tasks(1))
	awaitStream(t, sim)
	sim.CutStreams()
	sim.Set(appOf("/web", "h1", "h2")) // nobody is told
	await(t, s, tasks(2))
	servers.Eventually(t, func() error {
		if _, ever := sim.Streams(); ever != 2 {
			return fmt.Errorf("%d streams were opened, want 2", ever)
		}
		return nil
	})
}

func TestSilentStreamIsGivenUp(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Silent: 100 * time.Millisecond, Check: time.Hour})
	await(t, s, whatever)
	servers.Eventually(t, func() error {
		if _, ever := sim.Streams(); ever < 2 {
			return errors.New("still the first stream")
		}
		return nil
	})
}

// Each byte puts off the end of a silent stream, and silence brings it.
func TestHeartbeatsKeepAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		ended := make(chan time.Time, 1)
		silence := time.AfterFunc(25*time.Second, func() { ended <- time.Now(); _ = in.Close() })
		events := newEventReader(awake{in, silence, func() time.Duration { return 25 * time.Second }}, func() {})
		go func() {
			for range 30 { // five minutes
				<-time.After(5 * time.Second)
				_, _ = out.Write([]byte("\r"))
				<-time.After(5 * time.Second)
				_, _ = out.Write([]byte("\n"))
			}
		}()
		began := time.Now()
		if _, err := events.next(); err == nil {
			t.Error("an event of heartbeats")
		}
		if lived := (<-ended).Sub(began); lived != 300*time.Second+25*time.Second {
			t.Errorf("ended after %v", lived)
		}
	})
}

func TestEventInPieces(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Check: time.Hour, Resync: time.Hour})
	await(t, s, whatever)
	awaitStream(t, sim)
	sim.Heartbeat()
	sim.Set(appOf("/web", "h1", "h2"))
	sim.Write("event: status_upd")
	sim.Write("ate_event\r")
	sim.Write("\ndata: {\"appId\":\"/web\"}\r\n\r")
	await(t, s, tasks(2))
}

func TestHugeEventReadsEverything(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Check: time.Hour, Resync: time.Hour})
	await(t, s, whatever)
	awaitStream(t, sim)
	for _, size := range []int{200 << 10, maxLine + 1} {
		n := len(sim.Requests())
		hosts := []string{"h1", "h2", fmt.Sprint(size)}
		sim.Set(appOf("/web", hosts...))
		sim.Emit("deployment_success", map[string]any{"id": "x", "plan": strings.Repeat("x", size)})
		await(t, s, func(a *Answer) bool { return len(a.App.Tasks) == 3 && a.App.Tasks[2].Host == fmt.Sprint(size) })
		if len(sim.Requests()) == n {
			t.Error("nothing was read")
		}
	}
	if _, ever := sim.Streams(); ever != 1 {
		t.Errorf("%d streams: a long line broke one", ever)
	}
}

// Without a stream, of an old Marathon or through a proxy, apps are polled.
func TestWithoutStreamAppsArePolled(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"none": marathonsim.Status(404, `{"message":"HTTP 404 Not Found"}`),
		"HTML": marathonsim.Status(200, `<html>welcome</html>`),
		"mute": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim := marathonsim.Start(t)
			sim.InsteadOfStream(handle)
			sim.Set(appOf("/web", "h1"))
			s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Check: 20 * time.Millisecond, Resync: time.Hour})
			await(t, s, tasks(1))
			sim.Set(appOf("/web", "h1", "h2"))
			await(t, s, tasks(2))
		})
	}
}

func TestPollOpensNoStream(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Poll: true, Check: 20 * time.Millisecond})
	await(t, s, tasks(1))
	sim.Set(appOf("/web", "h1", "h2"))
	await(t, s, tasks(2))
	if _, ever := sim.Streams(); ever != 0 {
		t.Errorf("%d streams", ever)
	}
}

// Whatever is no answer is a fault, and the next endpoint is asked.
func TestFaultsRotateEndpoints(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"502":            marathonsim.Status(502, `{"message":"Could not determine the current leader"}`),
		"502 HTML":       marathonsim.Status(502, `<html>Bad gateway</html>`),
		"500":            marathonsim.Status(500, ""),
		"HTML 200":       marathonsim.Status(200, `<html>login</html>`),
		"404 of a proxy": marathonsim.Status(404, `<html>no such page</html>`),
		"bad JSON":       marathonsim.JSON(`{"app":{"id":"/web","tasks":[`),
		"key missing":    marathonsim.JSON(`{"message":"hello"}`),
		"another app":    marathonsim.JSON(`{"app":{"id":"/other","instances":0,"tasks":[]}}`),
		"empty":          marathonsim.JSON(``),
		"redirects forever": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		},
		"redirect to file": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := marathonsim.Start(t), marathonsim.Start(t)
			bad.Instead(handle)
			good.Set(appOf("/web", "h1"))
			s := subscribe(t, quietPool(), target(t, Access{}, bad.URL, good.URL), "/web", Pace{Poll: true})
			await(t, s, tasks(1))
			if err := s.Fault(); err != nil {
				t.Error(err)
			}
			// Alone it is a fault with a name, and no answer.
			alone := subscribe(t, quietPool(), target(t, Access{}, bad.URL), "/web", Pace{Poll: true})
			servers.Eventually(t, func() error {
				if err := alone.Fault(); err == nil || !strings.Contains(err.Error(), "/v2/apps/web") {
					return fmt.Errorf("fault %w", errors.Join(err))
				}
				return nil
			})
			if a, ok := alone.Take(); ok {
				t.Errorf("answer %+v", a)
			}
		})
	}
}

func TestHangingEndpointHoldsNobodyAtTheEnd(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Instead(marathonsim.Hang)
	sim.InsteadOfStream(marathonsim.Hang)
	s := quietPool().Subscribe(target(t, Access{}, sim.URL), Query{App: "/web"}, Pace{}, false)
	servers.Eventually(t, func() error {
		if len(sim.Requests()) == 0 {
			return errors.New("no request")
		}
		return nil
	})
	s.Close() // goleak and the test's deadline watch
}

func TestMissingAppAndItsTermination(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	s := subscribe(t, quietPool(), target(t, Access{}, sim.URL), "/web", Pace{Check: 30 * time.Millisecond, Resync: 30 * time.Millisecond})
	await(t, s, tasks(1))
	awaitStream(t, sim)
	sim.Delete("/web")
	if a := await(t, s, func(a *Answer) bool { return a.Missing }); a.Terminated {
		t.Error("terminated without an event")
	}
	sim.Emit("app_terminated_event", map[string]any{"appId": "/web"})
	await(t, s, func(a *Answer) bool { return a.Missing && a.Terminated })
	sim.Set(appOf("/web", "h1", "h2"))
	await(t, s, tasks(2))
	sim.Delete("/web")
	if a := await(t, s, func(a *Answer) bool { return a.Missing }); a.Terminated {
		t.Error("the termination of a former app counts for a new one")
	}
}

// A proxy that only lets the original's call through, or a Marathon that does
// not embed tasks.
func TestOriginalsCallHelpsOut(t *testing.T) {
	for _, first := range []http.HandlerFunc{
		marathonsim.Status(404, `<html>no</html>`), marathonsim.Status(403, ""), marathonsim.JSON(`{"app":{"id":"/web","instances":1}}`),
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/tasks") {
				marathonsim.JSON(`{"tasks":[{"id":"x","host":"h","ports":[1]}]}`)(w, r)
				return
			}
			first(w, r)
		}))
		pool := quietPool()
		s := pool.Subscribe(target(t, Access{}, server.URL), Query{App: "/web"}, Pace{Poll: true}, false)
		await(t, s, tasks(1))
		s.Close()
		server.Close()
	}
}

func TestRedirectToTheLeaderCarriesCredentialsToConfiguredHostsOnly(t *testing.T) {
	leader := marathonsim.Start(t)
	leader.Auth("token=hidden")
	leader.Set(appOf("/web", "h1"))
	standby := marathonsim.Start(t)
	standby.Instead(marathonsim.RedirectTo(leader.URL))
	standby.InsteadOfStream(marathonsim.RedirectTo(leader.URL))

	s := subscribe(t, quietPool(), target(t, Access{Token: "hidden"}, standby.URL), "/web", Pace{})
	servers.Eventually(t, func() error {
		if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "trusted_hosts") {
			return fmt.Errorf("fault %w", errors.Join(err))
		}
		return nil
	})
	for _, r := range leader.Requests() {
		if r.Auth != "" {
			t.Error("the credentials went to a host that is not configured")
		}
	}
	trusted := Access{Token: "hidden", TrustedHosts: []string{strings.TrimPrefix(leader.URL, "http://")}}
	s = subscribe(t, quietPool(), target(t, trusted, standby.URL), "/web", Pace{})
	await(t, s, tasks(1))
	awaitStream(t, leader)
	s = subscribe(t, quietPool(), target(t, Access{Token: "hidden"}, standby.URL, leader.URL), "/web", Pace{Poll: true})
	await(t, s, tasks(1))
}

// A token that is renewed in its file is used without a restart.
func TestRenewedTokenIsUsed(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	sim.Auth("token=new")
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	s := subscribe(t, quietPool(), target(t, Access{TokenFile: file}, sim.URL), "/web", Pace{Poll: true})
	servers.Eventually(t, func() error {
		if !refused(s.Fault()) {
			return fmt.Errorf("fault %w", errors.Join(s.Fault()))
		}
		return nil
	})
	write("new\n")
	await(t, s, tasks(1))
}

// What everybody on the host may read is no secret, and is not sent.
func TestOpenTokenFileIsRefused(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Auth("token=known")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("known"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o644); err != nil { // the umask must not matter
		t.Fatal(err)
	}
	for _, access := range []Access{{TokenFile: file}, {User: "u", PasswordFile: file}} {
		s := subscribe(t, quietPool(), target(t, access, sim.URL), "/web", Pace{Poll: true})
		servers.Eventually(t, func() error {
			if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
				return fmt.Errorf("fault %w", errors.Join(err))
			}
			return nil
		})
	}
}

func TestBasicAuthAndTLS(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	sim.Auth("Basic dTpw") // u:p
	secure := httptest.NewTLSServer(sim)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(secure), 0o600); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, quietPool(), target(t, Access{User: "u", Password: "p", CAFile: ca}, secure.URL), "/web", Pace{Poll: true})
	await(t, s, tasks(1))
	s = subscribe(t, quietPool(), target(t, Access{User: "u", Password: "p"}, secure.URL), "/web", Pace{Poll: true})
	servers.Eventually(t, func() error {
		if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "certificate") {
			return fmt.Errorf("fault %w", errors.Join(err))
		}
		return nil
	})
	s = subscribe(t, quietPool(), target(t, Access{CAFile: "/does/not/exist"}, secure.URL), "/web", Pace{Poll: true})
	servers.Eventually(t, func() error {
		if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "ca_file") {
			return fmt.Errorf("fault %w", errors.Join(err))
		}
		return nil
	})
}

// A CA file that is renewed in place needs no restart.
func TestRenewedCAIsUsed(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	secure, ca := httptest.NewTLSServer(sim), filepath.Join(t.TempDir(), "ca.pem")
	t.Cleanup(secure.Close)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	stranger, err := os.ReadFile(checktest.NewPKI(t).CA)
	if err = errors.Join(err, os.WriteFile(ca, stranger, 0o600)); err != nil {
		t.Fatal(err)
	}
	s := subscribe(t, quietPool(), target(t, Access{CAFile: ca}, secure.URL), "/web", Pace{Poll: true})
	servers.Eventually(t, func() error {
		if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			return fmt.Errorf("fault %w", errors.Join(err))
		}
		return nil
	})
	if err := os.WriteFile(ca, pemOf(secure), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, s, tasks(1))
}

// The log tells about a failure once, and when it is over.
func TestFailureIsLoggedOnce(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	sim.Instead(marathonsim.Status(500, ""))
	var log lockedBuffer
	pool := NewPool(slog.New(slog.NewTextHandler(&log, nil)))
	s := subscribe(t, pool, target(t, Access{}, sim.URL), "/web", Pace{Poll: true})
	servers.Eventually(t, func() error {
		if len(sim.Requests()) < 2 {
			return errors.New("one read")
		}
		return nil
	})
	sim.Instead(nil)
	await(t, s, tasks(1))
	if n := strings.Count(log.String(), "cannot be read"); n != 1 || !strings.Contains(log.String(), "answers again") {
		t.Errorf("%d times:\n%s", n, log.String())
	}
}

func TestFreshAnswer(t *testing.T) {
	sim := marathonsim.Start(t)
	sim.Set(appOf("/web", "h1"))
	pool, to := quietPool(), target(t, Access{}, sim.URL)
	await(t, subscribe(t, pool, to, "/web", Pace{Poll: true, Check: time.Hour}), tasks(1))
	sim.Set(appOf("/web", "h1", "h2"))
	fresh := pool.Subscribe(to, Query{App: "/web"}, Pace{Poll: true, Check: time.Hour}, true)
	t.Cleanup(fresh.Close)
	first := await(t, fresh, whatever)
	if !tasks(2)(first) {
		t.Errorf("an answer from before: %+v", first)
	}
	sim.Set(appOf("/web", "h1"))
	fresh.Refresh()
	await(t, fresh, tasks(1))
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
