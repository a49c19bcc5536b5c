package docker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
	"smartstack/internal/service"
	"smartstack/test/servers"
	"smartstack/watchers/watchertest"
)

// webOptions ask for port 80 of the image web.
func webOptions(list ...Server) Options {
	return Options{ImageName: "web", ContainerPort: "80", Address: "published", CheckInterval: config.Seconds(time.Hour), List: list}
}

// newWatcher makes a watcher that tries again at once; interval stays long, so
// that a test that passes does so by the events, unless it sets it.
func newWatcher(t testing.TB, o Options, log *slog.Logger) *Watcher {
	t.Helper()
	w, err := New(o, log)
	if err != nil {
		t.Fatal(err)
	}
	w.pace.Retry, w.pace.Gap, w.pace.Settle = 10*time.Millisecond, time.Millisecond, 20*time.Millisecond
	return w
}

// run runs w until the test ends.
func run(t *testing.T, w *Watcher) *heard {
	t.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, h.publish) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return h
}

func (h *heard) want(t *testing.T, text string) service.Update {
	t.Helper()
	var update service.Update
	servers.Eventually(t, func() error {
		got, u := h.last()
		if got != text {
			return fmt.Errorf("got %q, want %q", got, text)
		}
		update = u
		return nil
	})
	return update
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, `{"message":"out of order"}`, http.StatusInternalServerError)
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestContract(t *testing.T) {
	watchertest.Run(t, func(t *testing.T) watchertest.Registry {
		f := startFake(t)
		f.set()
		own := func(b service.Backend) object {
			return f.entry(object{
				"Id": "id-" + b.Name, "Names": []string{"/" + b.Name}, "Image": "web", "Ports": []object{},
				"NetworkSettings": object{"Networks": object{"front": object{"IPAddress": b.Host}}},
			})
		}
		o := webOptions(f.server(""))
		o.Address = "container"
		var list []object // what Set made
		return watchertest.Registry{
			New: func() service.Watcher { return newWatcher(t, o, quiet()) },
			Set: func(backends ...service.Backend) {
				list = []object{f.entry(object{"Id": "id-other", "Image": "db:1"})}
				for _, b := range backends {
					list = append(list, own(b))
				}
				f.set(list...)
				f.emit("start", "web", "id-any")
			},
			SetBad: func() {
				evil := own(service.Backend{Name: "a\nserver evil", Host: "10.0.0.7"})
				f.set(append(list, evil,
					f.entry(object{"Id": ""}),
					f.entry(object{"Id": 7}),
					f.entry(object{"Id": "id-paused", "Image": "web", "State": "paused"}),
					f.entry(object{"Id": "id-lost", "Image": "web", "NetworkSettings": object{}}))...)
			},
			Break:  func() func() { f.answer(refuse); f.send(""); return func() { f.answer(nil) } },
			Silent: func() service.Watcher { f.answer(hang); return newWatcher(t, o, quiet()) },
			// A watcher has one container_port.
			Want: func(b service.Backend) service.Backend { b.Port = 80; return b },
		}
	})
}

func TestEventsBringChangesAtOnce(t *testing.T) {
	f := startFake(t)
	f.set(f.web("one", 8001))
	w := newWatcher(t, webOptions(f.server("local")), quiet())
	w.pace.First = servers.Deadline // so that the first word means that events are followed
	h := run(t, w)
	h.want(t, "local 127.0.0.1:8001")

	f.set(f.web("one", 8001), f.web("two", 8002))
	f.emit("start", "docker.io/library/web:7", "id-two")
	h.want(t, "local 127.0.0.1:8001, local 127.0.0.1:8002")

	// The event of a death comes before the list knows of it.
	f.emit("die", "web:1", "id-one")
	h.want(t, "local 127.0.0.1:8002")
	if !slices.ContainsFunc(h.words(), func(u service.Update) bool { return show(u) == "local 127.0.0.1:8002" && !u.Noticed.IsZero() }) {
		t.Error("no word says when the death was told")
	}
	f.emit("start", "web:1", "id-one")
	h.want(t, "local 127.0.0.1:8001, local 127.0.0.1:8002")

	// What happened while the stream was broken is seen after it.
	f.set(f.web("three", 8003))
	f.send("")
	h.want(t, "local 127.0.0.1:8003")
}

// Doubt about the events ends their stream: after the next connect the list is
// read.
func TestEventsInDoubt(t *testing.T) {
	for said, want := range map[string]string{
		"": "ended", "\n \n": "ended", "{\"half\n": "cannot be read", "<html>\n": "cannot be read", `{"Type":"container"`: "cannot be read",
		strings.Repeat(" ", dockerconn.MaxEvent+1): "broke",
	} {
		f := startFake(t)
		f.answer(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, said) })
		s := f.server("local")
		a, err := dockerconn.Connect(s, s.Dial, servers.Deadline)
		if err != nil {
			t.Fatal(err)
		}
		began := 0
		err = a.Events(t.Context(), func() { began++ }, func(e event) { t.Errorf("%.20q: took %+v", said, e) })
		a.Close()
		if err == nil || !strings.Contains(err.Error(), want) || began != 1 {
			t.Errorf("%.20q: got %v, want %q", said, err, want)
		}
	}
}

// A host may run hundreds of other images: their comings and goings cost
// nothing.
func TestForeignEventsCostNoList(t *testing.T) {
	r := rule{image: mustParse(t, "web")}
	read := func(text string) (e event) {
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	const ours = "web:2"
	for line := range strings.Lines(string(recorded(t, "events.jsonl"))) {
		if e := read(line); r.concerns(e) {
			t.Errorf("%s %s of %s is taken for ours", e.Type, e.Action, e.Actor.Attributes["image"])
		}
		e := read(line)
		if e.Type == "container" {
			e.Actor.Attributes["image"] = ours
			if !r.concerns(e) {
				t.Errorf("%s of %s is ignored", e.Action, ours)
			}
		}
		own := rule{image: r.image, own: true, network: "sst-net"}
		if want := e.Type == "container" || e.Actor.Attributes["name"] == "sst-net"; own.concerns(e) != want {
			t.Errorf("%s %s concerns the network's service: %v, want %v", e.Type, e.Action, !want, want)
		}
	}
	for _, doubt := range []string{`{}`, `{"Type":"container","Action":"die","Actor":{"ID":"x"}}`, `{"Type":"container","Actor":{"Attributes":{"image":"sha256:1"}}}`} {
		if !r.concerns(read(doubt)) {
			t.Errorf("%s is ignored", doubt)
		}
	}
}

func TestPollsWhereEventsAreRefused(t *testing.T) {
	f := startFake(t)
	f.set(f.web("one", 8001))
	f.answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			http.Error(w, "403 Forbidden", http.StatusForbidden)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		_ = json.NewEncoder(w).Encode(f.list)
	})
	var log logged
	w := newWatcher(t, webOptions(f.server("local")), log.logger())
	w.pace.Interval = 10 * time.Millisecond
	h := run(t, w)
	h.want(t, "local 127.0.0.1:8001")
	f.set(f.web("one", 8001), f.web("two", 8002))
	h.want(t, "local 127.0.0.1:8001, local 127.0.0.1:8002")
	servers.Eventually(t, func() error {
		if log.count("gives no events") != 1 {
			return fmt.Errorf("the log says %q", log.text())
		}
		return nil
	})
	if c := w.Condition(); len(c.Faults) != 0 {
		t.Errorf("all engines are well: %+v", c)
	}
}

// A dead engine keeps what it gave, the others go on (airbnb/synapse #32).
func TestADeadEngineKeepsItsOwn(t *testing.T) {
	one, two := startFake(t), startFake(t)
	one.set(one.web("a", 8001))
	two.set(two.web("b", 8002))
	var log logged
	w := newWatcher(t, webOptions(one.server("one"), two.server("two")), log.logger())
	h := run(t, w)
	h.want(t, "one 127.0.0.1:8001, two 127.0.0.1:8002")

	one.answer(refuse)
	one.send("")
	servers.Eventually(t, func() error {
		if log.count("cannot be read") == 0 {
			return errors.New("nobody noticed")
		}
		return nil
	})
	two.set()
	two.emit("stop", "web:1", "id-b")
	h.want(t, "one 127.0.0.1:8001")
	if c := w.Condition(); len(c.Faults) != 1 || c.Faults[0].Part != "one" {
		t.Errorf("the dead engine is not told: %+v", c)
	}
	two.set(two.web("c", 8003))
	two.emit("start", "web:1", "id-c")
	h.want(t, "one 127.0.0.1:8001, two 127.0.0.1:8003")

	one.set(one.web("d", 8004))
	one.answer(nil)
	h.want(t, "one 127.0.0.1:8004, two 127.0.0.1:8003")
	servers.Eventually(t, func() error {
		if log.count("can be read again") != 1 || log.count("cannot be read") != 1 {
			return fmt.Errorf("the log says %q", log.text())
		}
		return nil
	})
}

// What a dead engine gave outlives Run, which the hub may call again to ask
// whether an answer was true.
func TestADeadEngineKeepsItsOwnOverRuns(t *testing.T) {
	one, two := startFake(t), startFake(t)
	one.set(one.web("a", 8001))
	two.set(two.web("b", 8002))
	w := newWatcher(t, webOptions(one.server("one"), two.server("two")), quiet())
	t.Run("both", func(t *testing.T) { run(t, w).want(t, "one 127.0.0.1:8001, two 127.0.0.1:8002") })
	one.answer(refuse)
	two.set()
	h := run(t, w)
	h.want(t, "one 127.0.0.1:8001")
	for _, u := range h.words() {
		if !strings.Contains(show(u), "one 127.0.0.1:8001") {
			t.Errorf("published %q", show(u))
		}
	}
}

func TestTheFirstWordWaitsForAll(t *testing.T) {
	one, two := startFake(t), startFake(t)
	one.set(one.web("a", 8001))
	two.set(two.web("b", 8002))
	let := make(chan struct{})
	asked := make(chan struct{}, 100)
	two.answer(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-let:
			refuse(w, r)
		case <-r.Context().Done():
		}
	})
	w := newWatcher(t, webOptions(one.server("one"), two.server("two")), quiet())
	w.pace.First = time.Millisecond
	h := run(t, w)
	<-asked
	servers.Eventually(t, func() error {
		if one.listed() == 0 {
			return errors.New("not listed yet")
		}
		return nil
	})
	if got, _ := h.last(); got != "nothing" {
		t.Errorf("published %q before the second engine answered or failed", got)
	}
	close(let)
	u := h.want(t, "one 127.0.0.1:8001")
	if u.RejectedTotal != 1 || !strings.Contains(u.Rejected[0].Entry, "two") || !strings.Contains(u.Rejected[0].Reason, "out of order") {
		t.Errorf("rejected %+v, want the engine that was never read", u.Rejected)
	}
	// Nobody knows whether that is all: so it is not believed.
	said := len(h.words())
	before := one.listed()
	one.set()
	one.emit("stop", "web:1", "id-a")
	servers.Eventually(t, func() error {
		if one.listed() < before+2 {
			return errors.New("not listed again yet")
		}
		return nil
	})
	for _, u := range h.words()[said:] {
		if u.Backends.Len() == 0 {
			t.Error("an engine that was never read passes for empty")
		}
	}
}

func TestRunEndsWhenAllAreDeadForTooLong(t *testing.T) {
	one, two := startFake(t), startFake(t)
	one.answer(refuse)
	two.answer(hang)
	w := newWatcher(t, webOptions(one.server("one"), two.server("two")), quiet())
	w.pace.First, w.pace.Deadline, w.patience = time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
	err := w.Run(t.Context(), func(u service.Update) { t.Errorf("published %q", show(u)) })
	if err == nil || !strings.Contains(err.Error(), "one (unix://") || !strings.Contains(err.Error(), "two (unix://") || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("got %v, want both names and reasons", err)
	}
}

// A container's listed name is an image's id once its tag has moved on, as
// after docker pull or docker build. It serves all the same.
func TestAMovedTagChangesNothing(t *testing.T) {
	f := startFake(t)
	var all, moved []object
	for file, list := range map[string]*[]object{"containers.json": &all, "containers-retagged.json": &moved} {
		if err := json.Unmarshal(recorded(t, file), list); err != nil {
			t.Fatal(err)
		}
	}
	f.set(all...)
	var inspected struct{ Config struct{ Image string } }
	if err := json.Unmarshal(recorded(t, "inspect-retagged.json"), &inspected); err != nil {
		t.Fatal(err)
	}
	o := webOptions(f.server("local"))
	o.ImageName, o.ContainerPort, o.CheckInterval = "smartstack-docker-test:one", "8080", config.Seconds(time.Second)
	h := run(t, newWatcher(t, o, quiet()))
	const want = "local 127.0.0.1:8080, local 127.0.0.1:32768" // of the host's network, and published
	h.want(t, want)
	f.mu.Lock()
	for _, c := range moved {
		f.origins[c["Id"].(string)] = inspected.Config.Image
	}
	f.mu.Unlock()
	f.set(moved...)
	before := f.listed()
	f.emit("start", inspected.Config.Image, "id-any")
	servers.Eventually(t, func() error {
		if f.listed() < before+2 {
			return errors.New("not listed again yet")
		}
		return nil
	})
	h.want(t, want)
	for _, u := range h.words() {
		if show(u) != want {
			t.Errorf("published %q", show(u))
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	cases := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"refused", refuse, "HTTP 500"},
		{"empty", write(""), "want a list"},
		{"null", write("null"), "want a list"},
		{"an object", write(`{"message":"x"}`), "want a list"},
		{"a page", write("<html>"), "want a list"},
		{"two lists", write("[][]"), "want a list"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "[]")
		}, "is cut"},
		{"cut JSON", write(`[{"Id":"x"`), "want a list"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "over the limit"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "elsewhere"},
		{"silent", hang, "deadline"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := startFake(t)
			f.answer(c.handler)
			w := newWatcher(t, webOptions(f.server("local")), quiet())
			if c.name == "silent" {
				w.pace.Deadline = 50 * time.Millisecond
			}
			fl := w.newFollower(&engine{server: f.server("local"), dial: f.server("local").Dial})
			got := fl.Ask(t.Context())
			if got.Err == nil || !strings.Contains(got.Err.Error(), c.want) && !isTimeout(got.Err) || !strings.Contains(got.Err.Error(), "local (unix://") {
				t.Errorf("got %v, want the server's name and %q", got.Err, c.want)
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestTLS: the engine shows a certificate and wants ours.
func TestTLS(t *testing.T) {
	f := startFake(t)
	f.set(f.web("one", 8001))
	srv := httptest.NewUnstartedServer(f)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := srv.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	files := TLS{
		CAFile:   file("ca.pem", "CERTIFICATE", pair.Certificate[0]),
		CertFile: file("cert.pem", "CERTIFICATE", pair.Certificate[0]), KeyFile: file("key.pem", "PRIVATE KEY", key),
	}
	port := srv.Listener.Addr().(*net.TCPAddr).Port
	follow := func(files TLS) word {
		s, err := Server{Name: "far", Host: "127.0.0.1", Port: port}.Complete(files)
		if err != nil {
			t.Fatal(err)
		}
		w := newWatcher(t, webOptions(s), quiet())
		fl := w.newFollower(&engine{server: s, dial: s.Dial})
		defer fl.Disconnect()
		return fl.Ask(t.Context())
	}
	if got := follow(files); got.Err != nil || len(got.Value) != 1 || got.Value[0].backend.Address() != "127.0.0.1:8001" {
		t.Errorf("got %+v", got)
	}
	for reason, broken := range map[string]TLS{
		"certificate": {CAFile: files.CAFile},
		"ca_file":     {CAFile: filepath.Join(dir, "nonesuch")},
		"holds no":    {CAFile: files.KeyFile},
		"key_file":    {CAFile: files.CAFile, CertFile: files.CertFile, KeyFile: files.CAFile},
	} {
		if got := follow(broken); got.Err == nil || !strings.Contains(got.Err.Error(), reason) {
			t.Errorf("got %v, want %q", got.Err, reason)
		}
	}
}

// logged keeps the log.
type logged struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *logged) count(text string) int { return strings.Count(l.text(), text) }
