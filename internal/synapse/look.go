package synapse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"smartstack/internal/service"
)

// Look is what the Hub knows of one service at one moment, for people who ask.
// It is immutable and shares what the Hub keeps anyway.
type Look struct {
	Name   string
	Policy Policy
	Spoken bool           // the source has said something since the start
	Heard  time.Time      // when it did so last
	Update service.Update // what it said

	Origin  service.Origin
	Listed  service.Set // before filters and election
	Serving service.Set // what the outputs get
	Notes   []string
	Changed time.Time // when what the outputs get changed last
	Rev     uint64    // the snapshot of that change; 0 = not handed out yet

	Failing  error // the source cannot be followed; nil = it can
	Since    time.Time
	Faults   []service.Fault // what of the source gives no good answer now, the oldest first
	Good     time.Time       // the newest good answer, though it brought no news; zero = the source does not tell
	Doubt    bool            // most backends vanished, and the source is being read again
	Handover bool            // a changed source has not spoken yet
}

// question asks Run's goroutine for Looks.
type question struct {
	name   string // empty = all
	answer chan []Look
}

// ErrNoService says that the configuration has no service of that name.
var ErrNoService = errors.New("there is no such service in the configuration")

// Look asks about one service.
func (h *Hub) Look(ctx context.Context, name string) (Look, error) {
	list, err := h.ask(ctx, name)
	switch {
	case err != nil:
		return Look{}, err
	case len(list) == 0:
		return Look{}, ErrNoService
	}
	return list[0], nil
}

// LookAll asks about all services, in the order of the configuration.
func (h *Hub) LookAll(ctx context.Context) ([]Look, error) { return h.ask(ctx, "") }

func (h *Hub) ask(ctx context.Context, name string) ([]Look, error) {
	q := question{name: name, answer: make(chan []Look, 1)} // the Hub never waits for who asked
	select {
	case h.questions <- q:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return <-q.answer, nil
}

func (h *Hub) reply(q question) {
	if q.name != "" {
		if t := h.services[q.name]; t != nil {
			q.answer <- []Look{t.look()}
			return
		}
		q.answer <- nil
		return
	}
	list := make([]Look, 0, len(h.order))
	for _, t := range h.order {
		list = append(list, t.look())
	}
	q.answer <- list
}

func (t *tracked) look() Look {
	l := Look{
		Name: t.def.Name, Policy: t.def.Policy, Spoken: t.spoken, Heard: t.last.at, Update: t.last.update,
		Origin: t.verdict.origin, Listed: t.verdict.listed, Serving: t.verdict.serving, Notes: t.verdict.notes,
		Failing: t.stale.err, Since: t.stale.at, Doubt: t.confirm != 0, Handover: t.next != nil,
	}
	if w, ok := t.feed.source.Watcher.(service.Feeling); ok {
		c := w.Condition()
		l.Faults, l.Good = c.Faults, c.Good
	}
	if t.current != nil {
		l.Changed, l.Rev = t.current.Changed, t.current.Rev
	}
	return l
}

// staleAfter is how long a part of a source may fail before its backends count
// as stale: as long as a whole source has.
const staleAfter = time.Minute

// Stale tells since when the source, or a part of it, gives no good answer; the
// zero time when all of it does.
func (l *Look) Stale() time.Time {
	var since time.Time
	if l.Failing != nil {
		since = l.Since
	}
	if len(l.Faults) > 0 && (since.IsZero() || l.Faults[0].Since.Before(since)) {
		since = l.Faults[0].Since
	}
	return since
}

// Updated is when the source confirmed last what is known; zero = it never
// spoke.
func (l *Look) Updated() time.Time {
	if l.Spoken && l.Good.After(l.Heard) {
		return l.Good
	}
	return l.Heard
}

// IsStale reports whether that has lasted.
func (l *Look) IsStale(now time.Time) bool {
	since := l.Stale()
	return l.Failing != nil || !since.IsZero() && now.Sub(since) >= staleAfter
}

// Troubles says what of the source gives no good answer.
func (l *Look) Troubles() []string {
	const most = 5
	if l.Failing != nil {
		return []string{fmt.Sprintf("the source cannot be followed since %s: %v", l.Stale().Format(time.DateTime), l.Failing)}
	}
	var list []string
	for i, f := range l.Faults {
		if i == most {
			return append(list, fmt.Sprintf("and %d more parts of the source give no good answer", len(l.Faults)-most))
		}
		part := "the source"
		if f.Part != "" {
			part = "a part of the source, " + f.Part + ","
		}
		list = append(list, fmt.Sprintf("%s gives no good answer since %s, what it said last stays: %v", part, f.Since.Format(time.DateTime), f.Err))
	}
	return list
}

// Standing is how the policies see one backend.
type Standing struct {
	Backend service.Backend
	From    string // discovery, default_servers, or what keeps it although the source does not list it
	Serves  bool
	Reason  string // why it does not serve
}

// Standings decides anew about each backend that the source or the
// configuration names, and says why one does not serve.
func (l *Look) Standings() []Standing {
	if l.Origin == service.Discovered && l.Listed.Same(l.Update.Backends) && l.Serving.Same(l.Listed) {
		return l.untouched()
	}
	serving := setOf(l.Serving)
	raw := setOf(l.Update.Backends)
	var list []Standing
	seen := map[service.Backend]bool{}
	for b := range l.Listed.All() {
		seen[b] = true
		s := Standing{Backend: b, From: l.from(b, raw), Serves: serving[b]}
		if !s.Serves {
			s.Reason = l.whyNot(b)
		}
		list = append(list, s)
	}
	if l.Origin == service.Discovered {
		return list
	}
	for b := range l.Policy.list(l.Update.Backends).All() { // said, but not believed
		if !seen[b] {
			list = append(list, Standing{Backend: b, From: discovery, Reason: "the source lists it, but too few others: " + fmt.Sprint(l.Notes)})
		}
	}
	return list
}

// untouched is Standings where no policy has anything to say, as mostly.
func (l *Look) untouched() []Standing {
	list := make([]Standing, 0, l.Listed.Len())
	for b := range l.Listed.All() {
		list = append(list, Standing{Backend: b, From: discovery, Serves: true})
	}
	return list
}

// discovery is where most backends come from.
const discovery = "discovery"

// Aside returns the backends that one of several sources lists and that are left
// out, each once, at the port that it would have; those that another source
// brought in are none.
func (l *Look) Aside() []Standing {
	if len(l.Update.Aside) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for b := range l.Listed.Pointers() {
		seen[b.Address()] = true
	}
	var list []Standing
	for i := range l.Update.Aside {
		a := &l.Update.Aside[i]
		for b := range a.Backends.All() {
			reason := a.Why(&b)
			if l.Policy.PortOverride != 0 {
				b.Port = l.Policy.PortOverride
			}
			if where := b.Address(); !seen[where] {
				seen[where] = true
				list = append(list, Standing{Backend: b, From: "source " + a.Source, Reason: reason})
			}
		}
	}
	return list
}

func setOf(s service.Set) map[service.Backend]bool {
	m := make(map[service.Backend]bool, s.Len())
	for b := range s.All() {
		m[b] = true
	}
	return m
}

func (l *Look) from(b service.Backend, raw map[service.Backend]bool) string {
	switch {
	case raw[b]:
		return discovery
	case l.Origin == service.Previous:
		return "an earlier answer: the source lists none or too few now, and use_previous_backends or min_servers keep it"
	case l.Origin == service.LastKnown:
		return "the state file: the source has not answered since the start"
	case slices.Contains(l.Policy.DefaultServers, b) || l.Origin == service.Defaults:
		return "default_servers"
	case b.Backup && b.Port == l.Policy.BackupPort:
		return "discovery, once more on server_backup_port"
	default:
		return discovery
	}
}

// whyNot says what keeps a listed backend from serving.
func (l *Look) whyNot(b service.Backend) string {
	if why := service.WhyNot(&b, l.Policy.LabelFilters); why != "" {
		return "filtered out: " + why
	}
	if !l.Policy.LeaderElection {
		return "left out by a policy"
	}
	for leader := range l.Serving.All() {
		return fmt.Sprintf("leader_election: %s leads", leader.Address())
	}
	return fmt.Sprintf("leader_election: nobody leads %v", l.Notes)
}
