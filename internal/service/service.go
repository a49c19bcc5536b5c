package service

import (
	"context"
	"encoding/json"
	"time"
)

// Update is everything that a watcher knows now, never a change to what it
// said before, so that losing one in favour of a newer one loses nothing.
type Update struct {
	Backends Set
	// Emptied says that there are no backends because their owner decided so
	// (suspended or deleted the app), and not because they failed or are hidden.
	Emptied bool
	// Generators holds per-output options found in the registry, by the
	// output's name; nil means that the registry holds none.
	Generators map[string]json.RawMessage
	// Rejected names the entries that are not in Backends, and why. At most
	// MaxRejected are kept; RejectedTotal counts them all.
	Rejected      []Rejection
	RejectedTotal int
	// Idle names entries that are in order and do not serve now: they start,
	// fail their health checks, or end. Bounded and counted as Rejected is.
	Idle      []Rejection
	IdleTotal int
	// Noticed is when the registry told of the change that was read then; zero
	// where nobody told, or what was told was all there is to read.
	Noticed time.Time
	// Aside tells, where several sources make one word, which of their backends
	// are left out, and why.
	Aside []Aside
}

// FirstNoticed is what to note of two changes that make one update: when the
// first of them was noticed. Zero is one of which nobody told.
func FirstNoticed(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Rejection is one registry entry that was left out.
type Rejection struct {
	Entry  string // the znode, key or instance, as its registry names it
	Reason string // a sentence without the entry's name
}

// Watcher follows one registry for one service.
//
// Run blocks until ctx ends (and returns nil) or until it cannot go on (and
// returns the reason; its caller starts it again). It may be called again
// after it has returned, and then reads everything afresh. It must return
// within a second of the end of ctx and leave no goroutine behind. A failed
// or partial read publishes nothing; an honest empty answer publishes an empty
// Set. publish never blocks and must not be called after Run has returned.
type Watcher interface {
	Run(ctx context.Context, publish func(Update)) error
}

// Check looks once at a local service. nil means healthy, an error is the
// reason why not; a Degraded (AsDegraded finds it) lowers the weight instead.
// The deadline is ctx's alone. A Check keeps no state between calls, but for
// connections, and is called by one goroutine at a time.
type Check interface {
	Check(ctx context.Context) error
}

// Registration is what a reporter makes true: Backend is registered exactly
// when Up.
type Registration struct {
	Up      bool
	Backend Backend
	// Reason is why the service is not available; empty while it is.
	Reason string
	// Exposed registrations say whether the service is available, for readers
	// who know the word, and stand (Up) also while it is not.
	Exposed bool
}

// Expose returns the registration for a registry in which also those services
// stand that are not available.
func (r Registration) Expose() Registration {
	if !r.Up && r.Reason == "" {
		r.Reason = "down"
	}
	r.Up, r.Exposed = true, true
	return r
}

// Reporter makes a registration true in one registry. Report is called on
// every round with the wanted state, must be cheap when that is already so,
// and repairs whatever vanished. Close withdraws the registration that this
// reporter made, never one made by a successor. All calls come from one
// goroutine.
type Reporter interface {
	Report(ctx context.Context, r Registration) error
	Close(ctx context.Context) error
}

// Origin tells which source a service's backends came from.
type Origin string

// The origins, from best to none.
const (
	Discovered Origin = "discovered" // what the watcher said last
	Previous   Origin = "previous"   // the watcher said nothing is there: the set before that
	Defaults   Origin = "defaults"   // default_servers
	LastKnown  Origin = "last-known" // the watcher has not spoken: what an earlier run wrote down
	Unknown    Origin = "unknown"    // the watcher has not spoken and nothing is on record
)

// Service is one service at one moment, after all policies. It is immutable
// and shared: an unchanged service keeps its pointer from one Snapshot to the
// next, so outputs may keep what they derived from it.
type Service struct {
	Name       string
	Rev        uint64 // the Snapshot in which it last changed
	Backends   Set
	Generators map[string]json.RawMessage // as in Update
	Origin     Origin
	// Changed is when the update that led to this value was published.
	Changed time.Time
	Noticed time.Time // as in that update
}

// Snapshot is the complete wanted state, in the order of the configuration.
type Snapshot struct {
	Rev      uint64
	Services []*Service
}

// Output makes a part of the world equal to the newest snapshot.
//
// Apply is called with each new snapshot and again after the duration it
// asked for (0 = not before the next snapshot), always with the newest one. On
// an error it is called again after a back-off. Calls never overlap. Apply
// finishes its current step when ctx ends, and leaves the last good state.
type Output interface {
	Name() string
	Apply(ctx context.Context, s Snapshot) (again time.Duration, err error)
}
