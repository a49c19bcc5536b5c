package nerve

import (
	"maps"
	"slices"
	"time"
)

// Pending is a service of the configuration that cannot be built yet.
type Pending struct {
	Service string
	Host    string // as in the configuration
	Port    int
	For     string // what it waits for
}

// pending is one, and since when.
type pending struct {
	Pending
	since time.Time
}

// await takes note of the services that wait.
func (r *runner) await(list []Pending) {
	now, before := time.Now(), r.pending
	r.pending = make(map[string]pending, len(list))
	for _, p := range list {
		since := now
		if was, waited := before[p.Service]; waited {
			since = was.since
		}
		r.pending[p.Service] = pending{p, since}
	}
}

// configured returns the names of all services of the configuration.
func (r *runner) configured() []string {
	names := slices.Collect(maps.Keys(r.places))
	for name := range r.pending {
		if r.places[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

// known tells whether there is something to say about a service.
func (r *runner) known(name string, now time.Time) bool {
	_, waits := r.pending[name]
	return waits || r.places[name] != nil || !r.orders[name].at(now).empty()
}

// describe returns the status of a service that is configured or not.
func (r *runner) describe(name string, now time.Time) Status {
	waiting, waits := r.pending[name]
	if p := r.places[name]; p != nil {
		s := p.unit.status(now)
		s.Reloading = p.next != nil
		if waits {
			s.WaitsFor = waiting.For
		}
		return s
	}
	s := Status{Service: name, State: NotConfigured, Checks: []CheckStatus{}, Reporters: []ReporterStatus{}}
	if order := r.orders[name].at(now); !order.empty() {
		s.Order, s.Since = &order, order.since()
		if order.Out != nil {
			s.Reason = order.Out.Reason
		}
	}
	if waits {
		s.State, s.Since, s.Host, s.Port, s.WaitsFor = Waiting, waiting.since, waiting.Host, waiting.Port, waiting.For
		s.Reason = "waits for " + waiting.For
	}
	return s
}
