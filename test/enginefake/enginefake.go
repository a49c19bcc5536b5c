// Package enginefake plays a Docker engine on a unix socket, for tests of what
// follows containers. What it says has the form that watchers/docker has
// recorded of a real engine.
package enginefake

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

// Engine is the part of a Docker engine that is asked for containers: the list,
// one container, and the stream of events.
type Engine struct {
	Socket string
	mu     sync.Mutex
	list   []Object
	env    map[string][]string
	asked  map[string]int // for single containers
	slow   chan struct{}  // answers wait for its end; nil = they do not
	change chan struct{}  // closed and made anew at each change
}

// Object is a JSON object.
type Object = map[string]any

// New makes an engine that does not answer yet.
func New(t testing.TB) *Engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e := &Engine{Socket: dir + "/docker.sock", list: []Object{}, env: map[string][]string{}, asked: map[string]int{}, change: make(chan struct{})}
	return e
}

// Serve answers until the returned function is called, as an engine that dies.
func (e *Engine) Serve(t testing.TB) (die func()) {
	t.Helper()
	_ = os.Remove(e.Socket)
	l, err := net.Listen("unix", e.Socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: e}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	var once sync.Once
	die = func() { once.Do(func() { _ = srv.Close(); <-done }) }
	t.Cleanup(die)
	return die
}

// ServeHTTP answers as an engine does.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	slow := e.slow
	e.mu.Unlock()
	if slow != nil {
		select {
		case <-slow:
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case r.URL.Path == "/containers/json":
		e.mu.Lock()
		data, err := json.Marshal(e.list)
		e.mu.Unlock()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data)
	case r.URL.Path == "/events":
		e.events(w, r)
	default:
		id := strings.Split(r.URL.Path, "/")[2]
		e.mu.Lock()
		e.asked[id]++
		env := e.env[id]
		e.mu.Unlock()
		_ = json.NewEncoder(w).Encode(Object{"Config": Object{"Image": "web", "Env": env}})
	}
}

// events tells of every change.
func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	change := e.change
	e.mu.Unlock()
	for {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-change:
		}
		e.mu.Lock()
		change = e.change
		e.mu.Unlock()
		fmt.Fprintln(w, `{"Type":"container","Action":"start","Actor":{"ID":"x","Attributes":{}}}`)
	}
}

// Set replaces the list, and tells.
func (e *Engine) Set(list ...Object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append([]Object{}, list...)
	close(e.change)
	e.change = make(chan struct{})
}

// Box is a running container that publishes its port 80.
func Box(name string, port int, labels Object) Object {
	return Object{
		"Id": "id-" + name, "Names": []string{"/" + name}, "Image": "web", "State": "running", "Labels": labels,
		"Ports": []Object{{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": port, "Type": "tcp"}},
	}
}

// Env sets a container's environment.
func (e *Engine) Env(name string, env ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.env["id-"+name] = env
}

// Asked tells how often a container was looked up by itself.
func (e *Engine) Asked(name string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked["id-"+name]
}

// Stall keeps all answers back until the returned function is called.
func (e *Engine) Stall() (release func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	stalled := make(chan struct{})
	e.slow = stalled
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.slow = nil
		close(stalled)
	}
}
