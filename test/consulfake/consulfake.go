// Package consulfake is a small Consul agent for tests: the health and the
// catalogue of services and the key-values, with blocking queries that follow
// the documented rules of the index, and the ways in which it fails.
//
//	fake := consulfake.Start(t)
//	fake.Set("web", consulfake.Instance{Node: "n1", Address: "10.0.0.1", Port: 80})
//	fake.Put("upstreams/web/10.0.0.1:80", `{"weight":1}`)
package consulfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Instance is one instance of a service. Empty checks mean that it passes.
type Instance struct {
	Node, NodeAddress, ID, Address string
	Port                           int
	Tags                           []string
	Meta                           map[string]string
	Tagged                         map[string]string // further addresses
	Checks                         map[string]string // by id: passing, warning or critical
	Passing, Warning               int               // weights; 0 = 1
}

// Agent is the fake. It may be used from any goroutine.
type Agent struct {
	URL string

	mu       sync.Mutex
	changed  map[string]chan struct{} // by resource; closed when it changes
	index    uint64                   // the newest
	indexes  map[string]uint64
	services map[string][]Instance
	pairs    map[string]pair
	header   map[string]string // instead of what is true
	token    string
	instead  http.HandlerFunc
	ill      map[string]http.HandlerFunc // by path
	calls    []string
	held     int
	most     int // queries held at one time, at most
}

type pair struct {
	value           string
	created, change uint64
}

// New makes a fake that somebody else serves.
func New() *Agent {
	return &Agent{
		changed: map[string]chan struct{}{}, index: 10, indexes: map[string]uint64{},
		services: map[string][]Instance{}, pairs: map[string]pair{}, header: map[string]string{}, ill: map[string]http.HandlerFunc{},
	}
}

// Start runs a fake until the test ends.
func Start(t testing.TB) *Agent {
	t.Helper()
	a := New()
	web := httptest.NewServer(a)
	a.URL = web.URL
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return a
}

// Set makes these the instances of a service.
func (a *Agent) Set(service string, instances ...Instance) {
	a.change("service/"+service, func() {
		a.services[service], a.indexes["service/"+service] = slices.Clone(instances), a.index
	})
}

// Put sets a key.
func (a *Agent) Put(key, value string) {
	a.change("keys", func() {
		created := a.index
		if old, there := a.pairs[key]; there {
			created = old.created
		}
		a.pairs[key] = pair{value: value, created: created, change: a.index}
		a.indexes["keys"] = a.index
	})
}

// Delete removes a key.
func (a *Agent) Delete(key string) {
	a.change("keys", func() { delete(a.pairs, key); a.indexes["keys"] = a.index })
}

// Restore makes index the newest, as after the restore of an old snapshot.
func (a *Agent) Restore(index uint64) {
	a.change("", func() {
		a.index = index
		for name := range a.indexes {
			a.indexes[name] = index
		}
	})
}

// Touch raises the index of everything and changes nothing.
func (a *Agent) Touch() {
	a.change("", func() {
		for name := range a.indexes {
			a.indexes[name] = a.index
		}
	})
}

// change makes a change to one resource, or to all of them, and wakes those who
// wait for it.
func (a *Agent) change(resource string, f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index++
	f()
	for name, waiting := range a.changed {
		if resource == "" || name == resource {
			close(waiting)
			delete(a.changed, name)
		}
	}
}

// awaited returns what is closed when a resource changes.
func (a *Agent) awaited(resource string) chan struct{} {
	if a.changed[resource] == nil {
		a.changed[resource] = make(chan struct{})
	}
	return a.changed[resource]
}

// Header makes answers say something else than what is true; an empty value
// leaves the header out.
func (a *Agent) Header(name, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.header[http.CanonicalHeaderKey(name)] = value
}

// Truth ends what Header began.
func (a *Agent) Truth() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.header)
}

// Token demands this ACL token; empty = none.
func (a *Agent) Token(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token = token
}

// Instead lets handle answer all calls, and ends those that wait; nil ends
// that.
func (a *Agent) Instead(handle http.HandlerFunc) {
	a.change("", func() { a.instead = handle })
}

// InsteadOf lets handle answer the calls of one path; nil ends that.
func (a *Agent) InsteadOf(path string, handle http.HandlerFunc) {
	a.change("", func() { a.ill[path] = handle })
}

// Hang is for Instead: it never answers.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Status is for Instead: it answers so.
func Status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// Calls returns the calls so far, each with its query.
func (a *Agent) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// Held returns how many queries wait now, and how many did at most.
func (a *Agent) Held() (now, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held, a.most
}

// ServeHTTP answers one call.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.calls = append(a.calls, r.URL.RequestURI())
	instead, refused := a.instead, a.token != "" && r.Header.Get("X-Consul-Token") != a.token
	if ill := a.ill[r.URL.Path]; ill != nil {
		instead = ill
	}
	a.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case refused:
		Status(http.StatusForbidden, "rpc error making call: Permission denied: anonymous token lacks permission")(w, r)
	case r.Method != http.MethodGet:
		Status(http.StatusMethodNotAllowed, "method not allowed")(w, r)
	default:
		a.answer(w, r)
	}
}

// answer waits as long as the query wants, and says what is true then.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	kind, name, ok := resource(r.URL.Path)
	if !ok || kind == "kv" && !q.Has("recurse") {
		Status(http.StatusNotFound, "404 page not found")(w, r)
		return
	}
	wait := 5 * time.Minute
	if text := q.Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil {
			Status(http.StatusBadRequest, "Invalid wait time")(w, r)
			return
		}
	}
	after, err := strconv.ParseUint(q.Get("index"), 10, 64)
	if q.Has("index") && err != nil {
		Status(http.StatusBadRequest, "Invalid index")(w, r)
		return
	}
	if after > 0 {
		a.hold(r, kind, name, after, min(wait, 10*time.Minute))
	}
	a.mu.Lock()
	body, found := a.body(kind, name)
	h := w.Header()
	h.Set("X-Consul-Index", strconv.FormatUint(a.indexOf(kind, name), 10))
	h.Set("X-Consul-Knownleader", "true")
	h.Set("X-Consul-Lastcontact", "0")
	if found {
		h.Set("Content-Type", "application/json")
	}
	for name, value := range a.header {
		if h.Del(name); value != "" {
			h.Set(name, value)
		}
	}
	instead := a.instead
	a.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, r)
	case !found:
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = w.Write(body)
	}
}

// resource splits a path into what is read and its name.
func resource(path string) (kind, name string, ok bool) {
	for prefix, kind := range map[string]string{"/v1/health/service/": "health", "/v1/catalog/service/": "catalog", "/v1/kv/": "kv"} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return kind, name, name != ""
		}
	}
	return "", "", false
}

// hold waits until something has changed after that index, or the wait is
// over.
func (a *Agent) hold(r *http.Request, kind, name string, after uint64, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held++
	a.most = max(a.most, a.held)
	defer func() { a.held-- }()
	for a.indexOf(kind, name) <= after && a.instead == nil {
		changed := a.awaited(resourceOf(kind, name))
		a.mu.Unlock()
		over := false
		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-r.Context().Done():
			over = true
		}
		a.mu.Lock()
		if over {
			return
		}
	}
}

// indexOf returns the index of one resource. That of something that was never
// there is the newest when Consul began.
func (a *Agent) indexOf(kind, name string) uint64 {
	if index := a.indexes[resourceOf(kind, name)]; index > 0 {
		return index
	}
	return 1
}

// resourceOf names what has an index of its own.
func resourceOf(kind, name string) string {
	if kind == "kv" {
		return "keys"
	}
	return "service/" + name
}

func (a *Agent) body(kind, name string) (body []byte, found bool) {
	switch kind {
	case "kv":
		list := []any{}
		for _, key := range slices.Sorted(maps.Keys(a.pairs)) {
			if strings.HasPrefix(key, name) {
				list = append(list, a.pairs[key].document(key))
			}
		}
		body, _ = json.Marshal(list)
		return body, len(list) > 0
	default:
		list := []any{}
		for _, i := range a.services[name] {
			list = append(list, i.document(kind, name, a.indexOf(kind, name)))
		}
		body, _ = json.Marshal(list)
		return body, true
	}
}
