package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/control"
	"smartstack/internal/inside"
	"smartstack/internal/nerve"
	"smartstack/internal/telemetry"
)

// look lets people and scrapers look into nerve.
func look(s *control.Server, p *program, c *nerve.Control) {
	w := &window{services: c, log: p.start.Telemetry, config: p.start.Config, started: time.Now(), loaded: &p.loaded}
	w.host, _ = os.Hostname() // it is only shown
	inside.Register(s, inside.Program{
		Name: "nerve", Version: version, Log: w.log,
		Alive:   func(ctx context.Context) error { _, err := c.Status(ctx); return err },
		Ready:   w.ready,
		Board:   w.board,
		Explain: w.explain,
		Metrics: w.metrics,
	})
}

// window is what those who look see. It is immutable.
type window struct {
	services *nerve.Control
	log      *telemetry.Log
	config   string
	host     string
	started  time.Time
	loaded   *instant
}

// ready tells whether every service of the configuration has been decided about.
func (w *window) ready(ctx context.Context) error {
	list, err := w.services.Status(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		switch list[i].State {
		case nerve.Checking:
			return fmt.Errorf("the checks of %s have not all spoken", list[i].Service)
		case nerve.Waiting:
			return fmt.Errorf("%s waits for %s", list[i].Service, list[i].WaitsFor)
		}
	}
	return nil
}

func (w *window) board(ctx context.Context, scope inside.Scope) (*inside.Board, error) {
	list, err := w.services.Status(ctx, scope.Services...)
	if err != nil {
		return nil, err
	}
	b := &inside.Board{
		About: inside.About{
			Version: inside.Version, Program: "nerve", Build: version, Host: w.host, Config: w.config, Now: time.Now(), Started: w.started, Loaded: w.loaded.get(),
		},
		Services: make([]inside.Service, 0, len(list)),
		Summary:  inside.Summary{Ready: true, Problems: []string{}},
	}
	for _, a := range []struct {
		text string
		do   nerve.Deed
	}{{"Take down", nerve.TakeDown}, {"Drain", nerve.StartDrain}, {"Bring up", nerve.BringUp}} {
		b.Actions = append(b.Actions, inside.Action{Text: a.text, Path: "/orders", Body: map[string]string{"do": string(a.do), "by": "page"}, Confirm: a.do != nerve.BringUp})
	}
	for i := range list {
		s := &list[i]
		row := serviceOf(s)
		if !scope.Full {
			row.Backends = nil
		}
		b.Ready = b.Ready && s.State != nerve.Checking && s.State != nerve.Waiting
		if row.State != inside.Live && s.State != nerve.NotConfigured {
			row.Problem = strings.TrimSuffix(fmt.Sprintf("service %s is %s: %s", s.Service, s.State, strings.Join(row.Notes, "; ")), ": ")
			b.Problems = append(b.Problems, row.Problem)
		}
		b.Services = append(b.Services, row)
	}
	if len(scope.Services) > 0 {
		b.Ready = w.ready(ctx) == nil
	}
	b.Well = len(b.Problems) == 0
	return b, nil
}

// serviceOf shows a service, with its checks and its registries in place of
// backends.
func serviceOf(s *nerve.Status) inside.Service {
	row := inside.Service{
		Name: s.Service, State: stateWord(s.State), Presence: inside.Present, Changed: s.Since, Counts: map[string]int{},
		Source: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), Origin: string(s.State),
	}
	if !s.Registered {
		row.Presence = inside.Absent
	}
	note := func(format string, args ...any) { row.Notes = append(row.Notes, fmt.Sprintf(format, args...)) }
	if s.Reason != "" {
		note("%s", s.Reason)
	}
	if s.Order != nil {
		note("an operator has given orders for it (nerve status %s shows them)", s.Service)
	}
	if s.WaitsFor != "" && s.State != nerve.Waiting {
		note("keeps its old options: the new ones need %s", s.WaitsFor)
	}
	if s.Held != nil {
		note("%s holds the decision back", s.Held.By)
	}
	checks, registries := checkNames(s), registryNames(s)
	for i, c := range s.Checks {
		k := inside.Backend{Address: "check " + checks[i], State: stateWord(c.State)}
		if c.State != nerve.Up {
			k.Why = c.Result
		}
		row.Backends = append(row.Backends, k)
	}
	for i, r := range s.Reporters {
		k := inside.Backend{Address: "registry " + registries[i], State: inside.Live}
		if !r.Current {
			k.State, k.Why = inside.Waiting, "it does not hold yet what is wanted"
		}
		if r.Err != "" {
			k.State, k.Why = inside.Refused, r.Err
			note("registry %s: %s", r.Reporter, r.Err)
			if row.State == inside.Live {
				row.State = inside.Degraded
			}
		}
		row.Backends = append(row.Backends, k)
	}
	for i := range row.Backends {
		row.Counts[row.Backends[i].State]++
	}
	return row
}

// stateWord is the page's word for a state.
func stateWord(s nerve.State) string {
	switch s {
	case nerve.Up, nerve.Warming:
		return inside.Live
	case nerve.Degraded:
		return inside.Degraded
	case nerve.Down:
		return inside.Down
	case nerve.Out, nerve.Drained, nerve.NotConfigured:
		return inside.Maint
	case nerve.Draining:
		return inside.Draining
	default:
		return inside.Waiting
	}
}

// explain goes the way of a registration: checks, decision, registries.
func (w *window) explain(ctx context.Context, name, where string) (*inside.Story, error) {
	list, err := w.services.Status(ctx, name)
	if err != nil {
		_, err = answer(nil, w.loaded, err)
		return nil, err
	}
	if len(list) != 1 {
		return nil, control.Failure(http.StatusNotFound, "there is no service %q", name)
	}
	return storyOf(&list[0], where)
}

// storyOf tells the story of a service, or of one part of it: a check or a
// registry, as the page names it.
func storyOf(s *nerve.Status, where string) (*inside.Story, error) {
	story := &inside.Story{Version: inside.Version, Service: serviceOf(s), In: s.Registered}
	step := func(name, part string, ok bool, format string, args ...any) {
		if where == "" || part == "" || part == where {
			story.Steps = append(story.Steps, inside.Step{Step: name, OK: ok, Says: fmt.Sprintf(format, args...)})
		}
	}
	checks, registries := checkNames(s), registryNames(s)
	for i, c := range s.Checks {
		step("check", "check "+checks[i], c.State == nerve.Up, "%s is %s since %s: %s (%.0f ms, %.1f s ago)", c.Check, c.State, c.Since.Format(time.DateTime), c.Result, c.Took, c.Age)
	}
	step("decision", "", s.Registered, "%s since %s %s", s.State, s.Since.Format(time.DateTime), s.Reason)
	for i, r := range s.Reporters {
		says := "holds what is wanted"
		if !r.Current {
			says = "does not hold yet what is wanted"
		}
		if r.Err != "" {
			says = "cannot be told since " + r.Since.Format(time.DateTime) + ": " + r.Err
		}
		step("registry", "registry "+registries[i], r.Current, "%s %s", r.Reporter, says)
	}
	if where != "" {
		if story.Service.Backends = only(story.Service.Backends, where); len(story.Service.Backends) == 0 {
			return nil, control.Failure(http.StatusNotFound, "service %q has no %q", s.Service, where)
		}
		part := story.Service.Backends[0]
		story.In = part.State == inside.Live
		story.Verdict = strings.TrimSuffix(fmt.Sprintf("%s of %s is %s: %s", where, s.Service, part.State, part.Why), ": ")
		return story, nil
	}
	story.Verdict = s.Service + " is registered"
	if !s.Registered {
		story.Verdict = s.Service + " is not registered"
	}
	for _, st := range story.Steps {
		if !st.OK {
			story.Verdict += ": " + st.Says
			break
		}
	}
	return story, nil
}

func only(list []inside.Backend, where string) []inside.Backend {
	out := []inside.Backend{}
	for _, b := range list {
		if b.Address == where {
			out = append(out, b)
		}
	}
	return out
}
