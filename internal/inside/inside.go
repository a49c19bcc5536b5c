// Package inside shows what goes on in a program: the answers that nerve and
// synapse give in the same form (health, status, events, log level, metrics),
// and the page that shows them to people. What is special to a program comes in
// through functions that return immutable values and may be called from any
// goroutine.
//
//	inside.Register(server, inside.Program{
//		Name: "synapse", Version: version, Log: start.Telemetry,
//		Alive: …, Ready: …, Board: …, Explain: …, Metrics: …,
//	})
//	err := server.Configure(options.Control)
package inside

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/control"
	"smartstack/internal/telemetry"
)

// Program is what a program says about itself. Board and Explain may be slow;
// they run under the request's context.
type Program struct {
	Name, Version string
	Log           *telemetry.Log
	// Alive says why the program makes no progress.
	Alive func(context.Context) error
	// Ready says why a first complete state has not been applied yet.
	Ready func(context.Context) error
	// Board says how everything is.
	Board func(context.Context, Scope) (*Board, error)
	// Explain tells the whole story of a service, or of one address in it.
	Explain func(ctx context.Context, service, address string) (*Story, error)
	// Metrics adds the program's figures.
	Metrics func(context.Context, *telemetry.Exposition)
}

// Scope is what of a Board is wanted.
type Scope struct {
	Full     bool     // with the backends of the services
	Services []string // these alone; none = all
}

// Register adds the routes.
func Register(server *control.Server, p Program) {
	server.Handle("GET /healthz", control.Open, control.JSON(func(r *http.Request) (any, error) { return health(r, "alive", p.Alive) }))
	server.Handle("GET /readyz", control.Open, control.JSON(func(r *http.Request) (any, error) { return health(r, "ready", p.Ready) }))
	server.Handle("GET /status", control.Read, status(server, p))
	server.Handle("GET /explain", control.Read, control.JSON(func(r *http.Request) (any, error) {
		q := r.URL.Query()
		s, err := p.Explain(r.Context(), q.Get("service"), q.Get("backend"))
		if err != nil {
			return nil, err
		}
		s.Events = Matching(p.Log.Journal.Since(0), s.Service.Name, partName(q.Get("backend")))
		return s, nil
	}))
	server.Handle("GET /events", control.Read, control.JSON(p.events))
	server.Handle("GET /events/stream", control.Read, server.Stream(p.stream))
	server.Handle("GET /log-level", control.Read, control.JSON(p.level))
	server.Handle("POST /log-level", control.Change, control.JSON(p.setLevel))
	server.Handle("GET /metrics", control.Read, http.HandlerFunc(p.metrics))
	servePage(server, p)
}

// short as the value of backends asks for them without HAProxy's servers: half as
// much, and all that the page's table shows.
const short = "short"

// status answers with the board; with every backend it may be large.
func status(server *control.Server, p Program) http.Handler {
	board := func(full bool) http.Handler {
		return control.JSON(func(r *http.Request) (any, error) {
			q := r.URL.Query()
			seq := p.Log.Journal.Newest() // what happens while the board is made may not be on it
			b, err := p.Board(r.Context(), Scope{Full: full, Services: q["service"]})
			if err != nil {
				return nil, err
			}
			b.Seq, b.short = seq, q.Get("backends") == short
			return b, nil
		})
	}
	brief, full := board(false), server.Big(board(true))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("backends") {
			full.ServeHTTP(w, r)
			return
		}
		brief.ServeHTTP(w, r)
	})
}

// health answers 200 or 503, so that whoever probes need not read.
func health(r *http.Request, word string, f func(context.Context) error) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		return nil, control.Failure(http.StatusServiceUnavailable, "not %s: %v", word, err)
	}
	return map[string]bool{word: true}, nil
}

// Events is the answer to GET /events.
type Events struct {
	Events []telemetry.Event `json:"events"`
}

func (p *Program) events(r *http.Request) (any, error) {
	q := r.URL.Query()
	var after uint64
	if text := q.Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, control.Failure(http.StatusBadRequest, "after: want a number, got %q", text)
		}
	}
	events := p.Log.Journal.Since(after)
	if service := q.Get("service"); service != "" {
		events = Matching(events, service, "")
	}
	return Events{Events: events}, nil
}

// Matching returns the events of a service, or of one address in it.
func Matching(events []telemetry.Event, service, address string) []telemetry.Event {
	address = escaped(address)
	list := []telemetry.Event{}
	for _, e := range events {
		if Concerns(&e, service) && (address == "" || mentions(string(e.Fields), address)) {
			list = append(list, e)
		}
	}
	return list
}

// partName is what events call a part of a service that is no backend.
func partName(part string) string {
	for _, kind := range []string{"check ", "registry "} {
		if name, ok := strings.CutPrefix(part, kind); ok {
			return name
		}
	}
	return part
}

// Concerns tells whether an event is about a service, or about several of which
// it is one.
func Concerns(e *telemetry.Event, service string) bool {
	if e.Service != "" || !strings.Contains(string(e.Fields), escaped(service)) {
		return e.Service == service
	}
	var fields struct {
		Services string `json:"services"`
	}
	_ = json.Unmarshal(e.Fields, &fields) // without any, or with another kind: none
	return slices.Contains(strings.Split(fields.Services, ", "), service)
}

// escaped is a text as it stands in an event's fields.
func escaped(s string) string {
	text, _ := json.Marshal(s) // a string cannot fail
	return string(text[1 : len(text)-1])
}

// mentions tells whether an address is in a text, and not only as a part of a
// longer one: 10.0.0.1:8 is not in 10.0.0.1:80.
func mentions(text, address string) bool {
	longer := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '.' || c == '-'
	}
	for from := 0; ; {
		at := strings.Index(text[from:], address)
		if at < 0 {
			return false
		}
		at += from
		end := at + len(address)
		if (at == 0 || !longer(text[at-1])) && (end == len(text) || !longer(text[end])) {
			return true
		}
		from = at + 1
	}
}

func (p *Program) stream(ctx context.Context, after uint64) ([]control.Event, error) {
	events, err := p.Log.Journal.Next(ctx, after)
	var list []control.Event
	for _, e := range events {
		data, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		list = append(list, control.Event{ID: e.Number(), Data: data})
	}
	return list, err
}

// LevelOrder is the body of POST /log-level, and the answer to GET.
type LevelOrder struct {
	Level string `json:"level"`
}

func (p *Program) level(*http.Request) (any, error) {
	return LevelOrder{Level: strings.ToLower(p.Log.Level.Level().String())}, nil
}

func (p *Program) setLevel(r *http.Request) (any, error) {
	var order LevelOrder
	if err := control.Decode(r, &order); err != nil {
		return nil, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(order.Level)); err != nil {
		return nil, control.Failure(http.StatusBadRequest, "want the level debug, info, warn or error, got %q", order.Level)
	}
	p.Log.Level.Set(level)
	p.Log.Logger.Info("the log level was set", "to", strings.ToLower(level.String()))
	return p.level(r)
}

// scrapeLimit is less than a scraper waits by default.
const scrapeLimit = 8 * time.Second

func (p *Program) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeLimit)
	defer cancel()
	w.Header().Set("Content-Type", telemetry.ExpositionType)
	e := telemetry.NewExposition(w)
	e.Metric("smartstack_build_info", "gauge", "Always 1; the version is in the label.")
	e.Sample(1, "program", p.Name, "version", p.Version)
	e.Metric("smartstack_ready", "gauge", "1 once a first complete state was applied.")
	e.Sample(flag(p.Ready(ctx) == nil))
	e.Events(p.Log.Journal)
	if p.Metrics != nil {
		p.Metrics(ctx, e)
	}
	e.Process()
	e.End()
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// ErrNotYet is what Ready returns before everything has been read once.
var ErrNotYet = errors.New("the sources have not all answered yet")
