package containers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"

	"smartstack/internal/dockerconn"
	"smartstack/internal/mailbox"
)

// Seen is what an engine offers at one moment. It is immutable.
type Seen struct {
	Offers   []Offer
	Rejected []Rejection
}

// Source follows the engine.
type Source struct {
	options *Options
	log     *slog.Logger
	pace    dockerconn.Pace
	dial    dockerconn.Dialer
}

// NewSource makes a source, without I/O.
func NewSource(o *Options, log *slog.Logger) *Source {
	interval := min(max(o.Interval.Duration(), shortest), longest)
	return &Source{options: o, log: log, pace: dockerconn.PaceFor(interval), dial: o.server.Dial}
}

// Run follows the engine until ctx ends and publishes everything that it offers
// whenever that has changed. While the engine cannot be read nothing is
// published: what it offered stays.
func (s *Source) Run(ctx context.Context, publish func(Seen)) {
	wake := mailbox.NewWake()
	words := mailbox.New[dockerconn.Word[Seen]](wake)
	f := &dockerconn.Follower[Seen]{
		Server: s.options.server, Dial: s.dial, Pace: s.pace, Log: s.log,
		Keeps: "its services", Who: "nerve",
		Reader: &reader{options: s.options, log: s.log, env: map[string][]string{}, said: map[Rejection]bool{}},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Run(ctx, words)
	}()
	var last *Seen
	for {
		select {
		case <-done:
			return
		case <-wake:
			if w, ok := words.Take(); ok && w.Err == nil && (last == nil || !reflect.DeepEqual(*last, w.Value)) {
				last = &w.Value
				publish(w.Value)
			}
		}
	}
}

// reader makes offers of the engine's containers. It belongs to the follower.
type reader struct {
	options *Options
	log     *slog.Logger
	env     map[string][]string // of containers, by id: it never changes
	said    map[Rejection]bool  // what the log knows
}

// Concerns reports whether an event may change what is offered.
func (r *reader) Concerns(e dockerconn.Event) bool {
	return e.Type == "container" || r.options.Address == "container"
}

// Read makes the offers.
func (r *reader) Read(ctx context.Context, a *dockerconn.API, running []*dockerconn.Container, bad []dockerconn.Bad) (Seen, error) {
	var seen Seen
	for _, b := range bad {
		seen.Rejected = append(seen.Rejected, Rejection{b.Name, b.Reason})
	}
	listed := map[string]bool{}
	for _, c := range running {
		listed[c.ID] = true
		env, err := r.environment(ctx, a, c.ID)
		if err != nil {
			return Seen{}, err
		}
		found, rejected := r.options.offers(c, env)
		seen.Offers = append(seen.Offers, found...)
		seen.Rejected = append(seen.Rejected, rejected...)
	}
	for id := range r.env {
		if !listed[id] {
			delete(r.env, id)
		}
	}
	slices.SortFunc(seen.Offers, func(a, b Offer) int { return cmp.Compare(a.Key(), b.Key()) })
	r.tell(seen.Rejected)
	return seen, nil
}

// environment returns a container's environment, where registrator's words may
// stand.
func (r *reader) environment(ctx context.Context, a *dockerconn.API, id string) ([]string, error) {
	if !r.options.Registrator {
		return nil, nil
	}
	if env, known := r.env[id]; known {
		return env, nil
	}
	origin, err := a.Origin(ctx, id)
	if errors.Is(err, dockerconn.ErrGone) {
		return nil, nil
	}
	if err == nil {
		r.env[id] = origin.Env
	}
	return origin.Env, err
}

// tell logs each rejection once.
func (r *reader) tell(rejected []Rejection) {
	now := map[Rejection]bool{}
	for _, one := range rejected {
		if now[one] = true; !r.said[one] {
			r.log.Warn("a container is not registered", "container", one.Container, "reason", one.Reason)
		}
	}
	r.said = now
}
