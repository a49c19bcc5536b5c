package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
	"smartstack/internal/inside"
	"smartstack/internal/service"
	"smartstack/internal/synapse"
)

// board says how everything is; a full one with every backend, for which HAProxy
// is asked as well. The services are made when they are written.
func (s *scene) board(ctx context.Context, scope inside.Scope) (*inside.Board, error) {
	looks, err := s.looks(ctx, scope.Services)
	if err != nil {
		return nil, err
	}
	v := s.view()
	if err := s.askFor(ctx, v, looks, scope); err != nil {
		return nil, err
	}
	b := &inside.Board{About: inside.About{
		Version: inside.Version, Program: "synapse", Build: version, Host: s.host, Config: s.config,
		Now: time.Now(), Started: s.started, Loaded: s.loaded, Links: s.links,
	}}
	b.Ready, b.Problems = s.ready() == nil, v.problems()
	if s.output != nil {
		b.HAProxy = v.summary()
	}
	b.Rows = func(yield func(*inside.Service) bool) {
		for i := range looks {
			row := v.service(&looks[i], s.sources[looks[i].Name], scope.Full)
			if row.Problem = trouble(&row); row.Problem != "" {
				b.Problems = append(b.Problems, row.Problem)
			}
			if !yield(&row) {
				return
			}
		}
		b.Well = len(b.Problems) == 0
	}
	return b, nil
}

func (s *scene) asks() bool { return s.output != nil && s.output.Asks() }

// ready tells whether a first complete snapshot is in force.
func (s *scene) ready() error {
	rev := s.hub.Snapshot().Rev
	if rev == 0 {
		return inside.ErrNotYet
	}
	if s.output == nil {
		return nil
	}
	if st := s.output.Status(); st.Applied == 0 {
		return fmt.Errorf("HAProxy does not run the first complete state yet: %v", st.Waiting)
	}
	return nil
}

// trouble names what a person should look at.
func trouble(row *inside.Service) string {
	switch row.State {
	case inside.Stale, inside.Refused, inside.Degraded, inside.Empty, inside.Down, inside.Waiting:
		return fmt.Sprintf("service %s is %s: %s", row.Name, row.State, strings.Join(row.Notes, "; "))
	}
	return ""
}

// view is what is known beside the hub, gathered once for an answer.
type view struct {
	output *haproxy.Output
	status haproxy.Status
	placed map[string]haproxy.Placed
	asked  []haproxy.Inspected // nil = HAProxy was not asked
	closer map[string]bool     // the backends whose servers it was asked for, where it was asked for sums
}

// knows tells whether each backend of a service can be told from the others.
func (v *view) knows(placed haproxy.Placed, full bool) bool {
	return full || placed.Section != nil && v.closer[placed.Section.BackendName]
}

func (s *scene) view() *view {
	v := &view{output: s.output}
	if s.output != nil {
		v.status = s.output.Status()
		v.placed = v.status.Placed()
	}
	return v
}

func (v *view) problems() []string {
	list := []string{}
	for _, f := range v.status.Faults {
		list = append(list, fmt.Sprintf("%s does not work since %s: %s", f.What, f.Since.Format(time.DateTime), f.Err))
	}
	for _, a := range v.asked {
		if a.Err != "" {
			list = append(list, "HAProxy cannot be asked on "+a.Socket+": "+a.Err)
		}
	}
	return list
}

// process returns the HAProxy to believe: the first that answers.
func (v *view) process() *haproxy.Inspected {
	for i := range v.asked {
		if v.asked[i].Err == "" {
			return &v.asked[i]
		}
	}
	return nil
}

// haproxySummary is the part of the board about HAProxy.
type haproxySummary struct {
	Wanted     uint64         `json:"wanted"`
	Written    uint64         `json:"written"`
	Applied    uint64         `json:"applied"`
	File       string         `json:"file,omitempty"`
	Reloads    int            `json:"reloads"`
	Failed     int            `json:"failed_reloads"`
	LastReload time.Time      `json:"last_reload,omitzero"`
	Reasons    []string       `json:"last_reload_reasons,omitempty"`
	Took       string         `json:"last_reload_took,omitempty"`
	Err        string         `json:"last_reload_error,omitempty"`
	Waiting    []string       `json:"waiting_for_reload,omitempty"`
	Processes  []processState `json:"processes,omitempty"`
}

type processState struct {
	Socket  string `json:"socket"`
	Version string `json:"version,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Err     string `json:"error,omitempty"`
}

func (v *view) summary() haproxySummary {
	st := &v.status
	h := haproxySummary{
		Wanted: st.Wanted, Written: st.Written, Applied: st.Applied, File: v.output.ConfigFile(),
		Reloads: st.Reloads, Failed: st.FailedReload, LastReload: st.LastReload.At, Reasons: st.LastReload.Reasons,
		Err: st.LastReload.Err, Waiting: st.Waiting,
	}
	if !st.LastReload.At.IsZero() {
		h.Took = st.LastReload.Took.Round(time.Millisecond).String()
	}
	for _, a := range v.asked {
		h.Processes = append(h.Processes, processState{Socket: a.Socket, Version: a.Version, PID: a.PID, Err: a.Err})
	}
	return h
}

// service describes one service; full with its backends.
func (v *view) service(l *synapse.Look, source string, full bool) inside.Service {
	row := inside.Service{
		Name: l.Name, Source: source, Origin: string(l.Origin), Heard: l.Heard, Changed: l.Changed,
		Presence: presence(l), Unsure: unsure(l), Notes: notesOf(l), Counts: map[string]int{},
	}
	placed := v.placed[l.Name]
	if h := placed.Held; h != nil {
		row.Notes = append(row.Notes, heldText(h))
	}
	idle := 0
	if v.knows(placed, full) {
		row.Backends = v.backends(l, placed)
		for i := range row.Backends {
			row.Counts[row.Backends[i].State]++
		}
		idle = idleBackups(row.Backends)
		if !full {
			row.Backends = nil
		}
	} else {
		v.count(l, placed, row.Counts)
		if n := filteredOut(l); n > 0 {
			row.Counts[inside.Filtered] = n
		}
		if n := l.Update.RejectedTotal; n > 0 {
			row.Counts[inside.Refused] = n
		}
	}
	row.State = stateOf(l, &row, placed.Held, v.process() != nil, idle)
	return row
}

// filteredOut counts the backends that a policy, or one of several sources,
// keeps out.
func filteredOut(l *synapse.Look) int { return l.Listed.Len() - l.Serving.Len() + len(l.Aside()) }

// idleBackups counts the backups that would not take traffic, while others do:
// nobody needs them now.
func idleBackups(list []inside.Backend) (n int) {
	serves := false
	for i := range list {
		switch b := &list[i]; {
		case b.State == inside.Live:
			serves = true
		case b.Backup && (b.State == inside.Down || b.State == inside.Maint || b.State == inside.Waiting):
			n++
		}
	}
	if !serves {
		return 0
	}
	return n
}

// count counts the backends of a service by what HAProxy says of its backend as
// a whole.
func (v *view) count(l *synapse.Look, placed haproxy.Placed, counts map[string]int) {
	n := l.Serving.Len()
	add := func(state string, n int) {
		if n > 0 {
			counts[state] += n
		}
	}
	p := v.process()
	switch {
	case n == 0:
	case placed.Held != nil && placed.Held.Server == "":
		add(inside.Refused, n)
	case v.output != nil && v.status.Wanted > 0 && placed.Section == nil:
		add(inside.Filtered, n)
	case p == nil || placed.Section == nil:
		add(inside.Unasked, n)
	default:
		sum, ok := p.Sums[placed.Section.BackendName]
		if !ok {
			add(inside.Waiting, n)
			return
		}
		add(inside.Live, sum.Active)
		add(inside.Backup, sum.Backups)
		add(inside.Down, n-sum.Active-sum.Backups)
	}
}

func presence(l *synapse.Look) string {
	switch {
	case l.Serving.Len() == 0:
		return inside.Absent
	case l.Origin == service.Defaults:
		return inside.ByItself
	default:
		return inside.Present
	}
}

// unsure says why what the service shows is not a fresh word of its source;
// empty = it is one.
func unsure(l *synapse.Look) string {
	switch {
	case !l.Spoken:
		return "its source has not answered since the start"
	case l.Failing != nil:
		return "its source cannot be followed"
	case l.Handover:
		return "its source was changed, and the new one has not answered yet"
	case l.Doubt:
		return "its source is read again before it is believed"
	case l.Origin != service.Discovered && l.Origin != service.Defaults:
		return "its source lists none, or too few"
	default:
		return ""
	}
}

func heldText(h *haproxy.Held) string {
	switch {
	case h.Server != "":
		return fmt.Sprintf("HAProxy refuses server %s: %s", h.Server, h.Reason)
	case h.LeftOut:
		return "HAProxy refuses the service, which is left out of the file: " + h.Reason
	default:
		return "HAProxy refuses the new form of the service, which stays as it was: " + h.Reason
	}
}

// notesOf says what a person may wonder about.
func notesOf(l *synapse.Look) []string {
	notes := slices.Clone(l.Notes)
	notes = append(notes, l.Troubles()...)
	if !l.Spoken {
		notes = append(notes, "the source has not answered since the start")
	}
	if l.Doubt {
		notes = append(notes, "most backends vanished at once: the source is read again before that is believed (removal_guard)")
	}
	if l.Handover {
		notes = append(notes, "the source was changed, and the new one has not answered yet")
	}
	if n := l.Update.RejectedTotal; n > 0 {
		notes = append(notes, fmt.Sprintf("%d entries of the source cannot be used", n))
	}
	switch l.Origin {
	case service.Previous:
		notes = append(notes, "the source lists no backends, or too few: those of before stay (use_previous_backends, min_servers)")
	case service.LastKnown:
		notes = append(notes, "the backends are those that an earlier run wrote down")
	case service.Defaults:
		notes = append(notes, "the source lists no backends: default_servers serve")
	}
	if l.Spoken && l.Serving.Len() == 0 && l.Listed.Len() == 0 {
		note := "the source lists no backends"
		if n := len(l.Aside()); n > 0 {
			note = fmt.Sprintf("%d backends of the sources are left out, and no other is there", n)
		}
		notes = append(notes, note)
	}
	return notes
}

// stateOf sums a service up. known tells that HAProxy has been asked, idle how
// many backups are out without anybody missing them: a service is well when all
// that are to take traffic now do.
func stateOf(l *synapse.Look, row *inside.Service, held *haproxy.Held, known bool, idle int) string {
	up := row.Counts[inside.Live] + row.Counts[inside.Backup]
	switch {
	case held != nil && held.Server == "":
		return inside.Refused
	case l.Serving.Len() == 0:
		return inside.Empty
	case known && up == 0 && row.Counts[inside.Waiting] > 0:
		return inside.Waiting
	case known && row.Counts[inside.Filtered] > 0 && up+row.Counts[inside.Unasked]+row.Counts[inside.Down]+row.Counts[inside.Maint]+row.Counts[inside.Draining]+row.Counts[inside.Refused] == 0:
		return inside.Filtered
	case known && up == 0 && row.Counts[inside.Unasked] == 0:
		row.Notes = append(row.Notes, "no backend is up in HAProxy")
		return inside.Down
	case l.IsStale(time.Now()) || !l.Spoken:
		return inside.Stale
	case held != nil || l.Update.RejectedTotal > 0 || l.Doubt:
		return inside.Degraded
	case row.Counts[inside.Down]+row.Counts[inside.Maint]+row.Counts[inside.Waiting] > idle:
		row.Notes = append(row.Notes, "not all backends take traffic")
		return inside.Degraded
	}
	if idle > 0 {
		row.Notes = append(row.Notes, fmt.Sprintf("%d backups could not stand in now", idle))
	}
	return inside.Live
}

// backends describes what the source, the policies and HAProxy make of each.
func (v *view) backends(l *synapse.Look, placed haproxy.Placed) []inside.Backend {
	at := &position{view: v, placed: placed, look: l, running: map[string]*socket.Detail{}}
	if p := v.process(); p != nil && placed.Section != nil {
		servers := p.Servers[placed.Section.BackendName]
		for i := range servers {
			at.running[servers[i].Name] = &servers[i]
		}
		_, at.has = p.Sums[placed.Section.BackendName]
	}
	if placed.Section != nil {
		at.find, at.left = haproxy.Finder(placed.Section.Servers), haproxy.Finder(placed.Left)
	}
	list := make([]inside.Backend, 0, l.Listed.Len())
	for _, s := range l.Standings() {
		list = append(list, at.backend(&s))
	}
	for _, s := range l.Aside() {
		list = append(list, at.backend(&s))
	}
	for _, r := range l.Update.Rejected {
		list = append(list, inside.Backend{Address: r.Entry, State: inside.Refused, Why: "the source's entry " + r.Reason})
	}
	return append(list, at.leaving()...)
}
