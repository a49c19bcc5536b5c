package nerve

import (
	"time"

	"smartstack/internal/service"
)

// State is what becomes of a service, in a word.
type State string

// The states.
const (
	Checking State = "checking"   // not every check has spoken
	Starting State = "starting"   // the start hook has not succeeded
	Up       State = "up"         // registered
	Warming  State = "warming up" // registered, with a growing part of its weight
	Degraded State = "degraded"   // registered, with a part of its weight
	Down     State = "down"       // withdrawn, by a check
	Out      State = "out"        // withdrawn, by an operator
	Draining State = "draining"   // on the way to Drained
	Drained  State = "drained"    // withdrawn by an operator, in an orderly way
	Waiting  State = "waiting"    // for something about this host that is not known yet
	// NotConfigured is a service that is not in the configuration, but in an
	// operator's order.
	NotConfigured State = "not configured"
)

// Status is a service as nerve sees it, for people and programs.
type Status struct {
	Service    string           `json:"name"`
	State      State            `json:"state"`
	Since      time.Time        `json:"since"` // of the decision: the checks', or an operator's to take it out
	Reason     string           `json:"reason,omitempty"`
	Registered bool             `json:"registered"`       // is wanted in the registries
	Host       string           `json:"host"`             //
	Port       int              `json:"port"`             //
	Weight     *int64           `json:"weight,omitempty"` // as registered
	FullWeight *int64           `json:"full_weight,omitempty"`
	Held       *Held            `json:"held,omitempty"`
	Flaps      Flaps            `json:"flaps"`
	Order      *Order           `json:"order,omitempty"`
	Reloading  bool             `json:"reloading,omitempty"` // new options take over
	WaitsFor   string           `json:"waits_for,omitempty"` // the service, or its new options
	Checks     []CheckStatus    `json:"checks"`
	Reporters  []ReporterStatus `json:"reporters"`
}

// Held tells that the decision does not follow the checks.
type Held struct {
	By    string    `json:"by"`    // the option
	Level int       `json:"level"` // percent, by the checks
	Until time.Time `json:"until,omitzero"`
}

// Flaps tells how often the checks have seen the service get worse.
type Flaps struct {
	Total int     `json:"total"` // since nerve has known the service
	Fresh float64 `json:"fresh"` // what flap_damping counts of them now
}

// CheckStatus is one check.
type CheckStatus struct {
	Check  string    `json:"check"`
	State  State     `json:"state"` // Checking, Up, Degraded or Down
	Since  time.Time `json:"since,omitzero"`
	Result string    `json:"result"`           // of the newest call: ok, or the reason why not
	Detail string    `json:"detail,omitempty"` // what a check has to say that is ok
	Age    float64   `json:"age"`              // of the result, in seconds
	Took   float64   `json:"took"`             // milliseconds
	InRow  int       `json:"in_row"`           // results in a row against the state
	Rise   int       `json:"rise"`
	Fall   int       `json:"fall"`
}

// ReporterStatus is one registry.
type ReporterStatus struct {
	Reporter string    `json:"reporter"`
	Current  bool      `json:"current"` // holds what is wanted, as far as it has told
	Err      string    `json:"err,omitempty"`
	Since    time.Time `json:"since,omitzero"` // of the error
}

// status describes the unit at a moment.
func (u *unit) status(now time.Time) Status {
	v, order := u.view.Load(), u.seat.ordered(now)
	s := Status{
		Service: u.svc.Name, Since: v.since, Registered: v.up,
		Host: u.svc.Backend.Host, Port: u.svc.Backend.Port, Weight: known(v.weight), FullWeight: known(u.svc.Backend.Weight),
		Flaps:  Flaps{Total: v.flaps.total, Fresh: v.flaps.count(now)},
		Checks: []CheckStatus{}, Reporters: []ReporterStatus{}, // lists, never null, for programs that read them
	}
	if !v.up {
		s.Weight = nil
	}
	s.State, s.Reason = v.state(u, order, now)
	if !order.empty() {
		s.Order = &order
	}
	if order.Out != nil {
		s.Since = order.Out.Since
	}
	if v.held != "" {
		s.Held = &Held{By: string(v.held), Level: v.raw}
		if v.held == holdDamping {
			s.Held.Until = v.flaps.until()
		}
	}
	for i := range u.svc.Checks {
		s.Checks = append(s.Checks, u.probes[i].status(now))
	}
	want := u.want.Load()
	for _, d := range u.desks {
		r := ReporterStatus{Reporter: d.name, Current: want != nil && d.made.Load() == want}
		if t := d.trouble.Load(); t != nil {
			r.Current, r.Err, r.Since = false, t.err.Error(), t.since
		}
		s.Reporters = append(s.Reporters, r)
	}
	return s
}

// state is the one word, and why it is so.
func (v *view) state(u *unit, order Order, now time.Time) (State, string) {
	why := v.why
	if v.check != "" {
		why = v.check + ": " + why
	}
	switch out := order.Out; {
	case out != nil && out.Drained:
		return Drained, out.Reason
	case out != nil && out.Drain:
		return Draining, out.Reason
	case out != nil:
		return Out, out.Reason
	case !v.known:
		return Checking, ""
	case v.level == dead:
		return Down, why
	case !v.up && v.startErr != "":
		return Starting, "start_command: " + v.startErr
	case !v.up:
		return Starting, "start_command runs"
	case v.level < whole:
		return Degraded, why
	case now.Sub(v.warmed) < u.svc.WarmUp:
		return Warming, ""
	default:
		return Up, ""
	}
}

func (p *probe) status(now time.Time) CheckStatus {
	s := CheckStatus{Check: p.check.Name, State: Checking, Result: "none yet", Rise: p.check.Rise, Fall: p.check.Fall}
	shown := p.shown.Load()
	if shown == nil {
		return s
	}
	switch shown.level {
	case dead:
		s.State = Down
	case whole:
		s.State = Up
	default:
		s.State = Degraded
	}
	s.Since, s.InRow, s.Result = shown.since, shown.inRow, "ok"
	if shown.err != nil {
		s.Result = shown.err.Error()
	} else if d, ok := p.check.Check.(service.Detailed); ok {
		s.Detail = d.Detail()
	}
	s.Age = (now.Sub(p.pace.epoch) - time.Duration(p.ended.Load())).Seconds()
	s.Took = float64(p.took.Load()) / float64(time.Millisecond)
	return s
}

func known(w service.Int) *int64 {
	if !w.Known {
		return nil
	}
	return &w.Value
}
