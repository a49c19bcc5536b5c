package docker

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// object is a JSON object.
type object = map[string]any

// recorded returns an answer of Docker 20.10 that was recorded.
func recorded(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fake is an engine on a unix socket. What it lists has the form of a recorded
// entry, with some values replaced.
type fake struct {
	t        testing.TB
	socket   string
	template []byte
	started  object // a recorded event

	mu      sync.Mutex
	list    []object
	origins map[string]string // /containers/ID/json
	instead http.HandlerFunc  // of every answer
	streams map[chan string]struct{}
	lists   int
}

// newFake makes one that somebody else serves.
func newFake(t testing.TB) *fake {
	t.Helper()
	f := &fake{t: t, socket: "/nonesuch", origins: map[string]string{}, streams: map[chan string]struct{}{}}
	var all []json.RawMessage
	if err := json.Unmarshal(recorded(t, "containers.json"), &all); err != nil {
		t.Fatal(err)
	}
	f.template = all[3] // sst-a
	for line := range strings.Lines(string(recorded(t, "events.jsonl"))) {
		if strings.Contains(line, `"status":"start"`) {
			if err := json.Unmarshal([]byte(line), &f.started); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func startFake(t testing.TB) *fake {
	t.Helper()
	f := newFake(t)
	dir, err := os.MkdirTemp("", "engine") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f.socket = dir + "/docker.sock"
	l, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: f}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	instead := f.instead
	f.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case r.URL.Path == "/containers/json":
		f.mu.Lock()
		f.lists++
		data, err := json.Marshal(f.list)
		f.mu.Unlock()
		if err != nil {
			f.t.Error(err)
		}
		_, _ = w.Write(data)
	case r.URL.Path == "/events":
		f.serveEvents(w, r)
	default:
		f.mu.Lock()
		origin, ok := f.origins[strings.Split(r.URL.Path, "/")[2]]
		f.mu.Unlock()
		if !ok {
			http.Error(w, `{"message":"No such container: nonesuch"}`, http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, `{"Config":{"Image":%q}}`, origin)
	}
}

func (f *fake) serveEvents(w http.ResponseWriter, r *http.Request) {
	if !json.Valid([]byte(r.URL.Query().Get("filters"))) {
		http.Error(w, "bad filters", http.StatusInternalServerError)
		return
	}
	lines := make(chan string, 100)
	f.mu.Lock()
	f.streams[lines] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.streams, lines)
		f.mu.Unlock()
	}()
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line := <-lines:
			if line == "" { // cut
				return
			}
			fmt.Fprintln(w, line)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// entry makes an entry of the list out of the recorded one.
func (f *fake) entry(change object) object {
	var o object
	if err := json.Unmarshal(f.template, &o); err != nil {
		f.t.Fatal(err)
	}
	maps.Copy(o, change)
	return o
}

// web is a container of image web:1 that publishes 80 at port.
func (f *fake) web(name string, port int) object {
	return f.entry(object{
		"Id": "id-" + name, "Names": []string{"/" + name}, "Image": "web:1",
		"Ports": []object{
			{"IP": "::", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"},
			{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"},
			{"PrivatePort": 9090, "Type": "tcp"},
		},
	})
}

// set replaces the list, silently.
func (f *fake) set(list ...object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = slices.Clone(list)
	if f.list == nil {
		f.list = []object{}
	}
}

// answer replaces every answer until it is called with nil.
func (f *fake) answer(instead http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.instead = instead
}

// emit sends a container's event to all streams, and returns their number.
func (f *fake) emit(action, image, id string) int {
	e := maps.Clone(f.started)
	maps.Copy(e, object{"Action": action, "status": action, "id": id, "from": image, "Actor": object{
		"ID": id, "Attributes": object{"image": image, "name": strings.TrimPrefix(id, "id-")},
	}})
	data, err := json.Marshal(e)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.send(string(data))
}

// send sends a line to all streams; "" cuts them.
func (f *fake) send(line string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.streams {
		s <- line
	}
	return len(f.streams)
}

func (f *fake) listed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lists
}

// server is the fake as an entry of servers.
func (f *fake) server(name string) Server { return Server{Name: name, Socket: f.socket} }

// heard collects what a watcher publishes.
type heard struct {
	mu  sync.Mutex
	all []service.Update
}

func (h *heard) publish(u service.Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, u)
}

// last returns the newest word as text, "nothing" before the first.
func (h *heard) last() (string, service.Update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		return "nothing", service.Update{}
	}
	u := h.all[len(h.all)-1]
	return show(u), u
}

// words returns all so far.
func (h *heard) words() []service.Update {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

func show(u service.Update) string {
	var text []string
	for b := range u.Backends.All() {
		text = append(text, strings.TrimSpace(b.Name+" "+b.Address()))
	}
	return strings.Join(text, ", ")
}
