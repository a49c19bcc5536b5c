// Package marathonsim is a small Marathon for tests: the calls that read apps,
// the event stream, and the ways in which both fail.
//
//	sim := marathonsim.Start(t)
//	sim.Set(marathonsim.App{ID: "/web", Instances: 1, Tasks: []marathonsim.Task{{Host: "10.0.0.1", Ports: []int{31000}}}})
//	sim.Changed("/web") // the event that Marathon sends
package marathonsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Sim is one node of a simulated Marathon. It may be used from any goroutine.
type Sim struct {
	URL string

	mu       sync.Mutex
	apps     map[string]map[string]any // as they are answered, with their tasks
	requests []Request
	flying   map[string]int
	most     int // requests for one app at one time, at most
	instead  http.HandlerFunc
	ill      map[string]http.HandlerFunc // by app
	streams  map[*conn]struct{}
	noStream http.HandlerFunc
	opened   int
	auth     string
}

// Request is one request that the simulator got.
type Request struct {
	Path, Query, Auth, Accept string
}

// New makes a simulator that somebody else serves.
func New() *Sim {
	return &Sim{apps: map[string]map[string]any{}, flying: map[string]int{}, ill: map[string]http.HandlerFunc{}, streams: map[*conn]struct{}{}}
}

// Start runs a simulator until the test ends.
func Start(t testing.TB) *Sim {
	t.Helper()
	s := New()
	web := httptest.NewServer(s)
	s.URL = web.URL
	t.Cleanup(func() {
		s.Instead(nil)
		s.CutStreams()
		web.CloseClientConnections()
		web.Close()
		s.CutStreams()
	})
	return s
}

// Set makes a the state of its app.
func (s *Sim) Set(a App) { s.put(a.document()) }

// Load takes recorded apps: an answer to GET /v2/apps.
func (s *Sim) Load(t testing.TB, recorded []byte) {
	t.Helper()
	var list struct{ Apps []map[string]any }
	if err := json.Unmarshal(recorded, &list); err != nil {
		t.Fatal(err)
	}
	for _, a := range list.Apps {
		s.put(a)
	}
}

func (s *Sim) put(document map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.apps[document["id"].(string)] = document
}

// Delete makes an app unknown.
func (s *Sim) Delete(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, id)
}

// Instead lets handle answer all reads; nil ends that.
func (s *Sim) Instead(handle http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = handle
}

// InsteadOf lets handle answer the reads of one app; nil ends that.
func (s *Sim) InsteadOf(id string, handle http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ill[id] = handle
}

// Auth demands this Authorization header; empty = none.
func (s *Sim) Auth(header string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth = header
}

// Requests returns the reads so far.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Reads counts the reads of one app.
func (s *Sim) Reads(id string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Path == "/v2/apps"+id || r.Path == "/v2/apps"+id+"/tasks" {
			n++
		}
	}
	return n
}

// MostAtOnce returns how many requests for one app were under way at one time,
// at most.
func (s *Sim) MostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// ServeHTTP answers one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refused := s.auth != "" && r.Header.Get("Authorization") != s.auth
	instead := s.instead
	if ill := s.ill[strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/apps"), "/tasks")]; ill != nil {
		instead = ill
	}
	if r.URL.Path == "/v2/events" {
		instead = s.noStream
	} else {
		s.requests = append(s.requests, Request{r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Accept")})
		s.flying[r.URL.Path]++
		s.most = max(s.most, s.flying[r.URL.Path])
		defer func() {
			s.mu.Lock()
			s.flying[r.URL.Path]--
			s.mu.Unlock()
		}()
	}
	s.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case refused:
		Status(http.StatusUnauthorized, `{"message":"Invalid username or password."}`)(w, r)
	case r.URL.Path == "/v2/events":
		s.stream(w, r)
	default:
		s.answer(w, r)
	}
}

func (s *Sim) answer(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch id, isApp := strings.CutPrefix(path, "/v2/apps/"); {
	case path == "/ping":
		fmt.Fprint(w, "pong")
	case path == "/v2/leader":
		reply(w, map[string]any{"leader": strings.TrimPrefix(s.URL, "http://")})
	case path == "/v2/apps":
		reply(w, map[string]any{"apps": s.each(r, func(a map[string]any) any { return a })})
	case path == "/v2/tasks":
		reply(w, map[string]any{"tasks": s.tasks("")})
	case !isApp:
		Status(http.StatusNotFound, `{"message":"HTTP 404 Not Found"}`)(w, r)
	case strings.HasSuffix(id, "/tasks"):
		id = "/" + strings.TrimSuffix(id, "/tasks")
		if s.app(r, id) == nil && !strings.Contains(id, "*") {
			missing(w, r, id)
			return
		}
		reply(w, map[string]any{"tasks": s.tasks(id)})
	default:
		a := s.app(r, "/"+id)
		if a == nil {
			missing(w, r, "/"+id)
			return
		}
		reply(w, map[string]any{"app": a})
	}
}

func missing(w http.ResponseWriter, r *http.Request, id string) {
	Status(http.StatusNotFound, fmt.Sprintf(`{"message":"App '%s' does not exist"}`, id))(w, r)
}

func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", mediaJSON)
	_ = json.NewEncoder(w).Encode(body)
}

const mediaJSON = "application/json"

// app returns what is answered for an app: its tasks only if they are asked
// for.
func (s *Sim) app(r *http.Request, id string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.apps[id]
	if !ok {
		return nil
	}
	a = maps.Clone(a)
	if !slices.ContainsFunc(r.URL.Query()["embed"], func(e string) bool { return strings.HasSuffix(e, ".tasks") || e == "tasks" }) {
		delete(a, "tasks")
	}
	return a
}

func (s *Sim) each(r *http.Request, f func(map[string]any) any) []any {
	s.mu.Lock()
	ids := slices.Sorted(maps.Keys(s.apps))
	s.mu.Unlock()
	list := []any{}
	for _, id := range ids {
		if a := s.app(r, id); a != nil {
			list = append(list, f(a))
		}
	}
	return list
}

// tasks lists the tasks of one app, of those that a pattern with "*" fits, or
// of all.
func (s *Sim) tasks(id string) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	prefix, suffix, wild := strings.Cut(id, "*")
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		if id != "" && name != id && !(wild && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix)) {
			continue
		}
		switch tasks := s.apps[name]["tasks"].(type) {
		case []any:
			list = append(list, tasks...)
		case []map[string]any:
			for _, t := range tasks {
				list = append(list, t)
			}
		}
	}
	return list
}

// Status answers with a status and a body, as JSON when it looks like it.
func Status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		media := "text/html; charset=utf-8"
		if strings.HasPrefix(body, "{") {
			media = mediaJSON
		}
		w.Header().Set("Content-Type", media)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// JSON answers with status 200 and a body that is called JSON.
func JSON(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaJSON)
		fmt.Fprint(w, body)
	}
}

// Hang accepts and never answers.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// RedirectTo leads to the same path of another node, as a standby does.
func RedirectTo(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, url+r.URL.RequestURI(), http.StatusFound)
	}
}
