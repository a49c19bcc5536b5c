package nerve

import (
	"context"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/telemetry"
)

// Service is one thing to keep registered. Names are unique.
type Service struct {
	Name string
	// Key is the canonical text of everything the service was built from; on a
	// reload a service with an equal key keeps running.
	Key string
	// Entry is the canonical text of what the service registers, and where. A
	// service with another name and an equal entry takes over from one that goes.
	// Empty: nobody does.
	Entry     string
	Backend   service.Backend
	Interval  time.Duration // from the beginning of one round of a check to the next
	Checks    []Check       // all must pass; none = always up
	Reporters []Reporter
	Limit     Limit
	Damping   Damping
	// Start runs each time before the service is registered, after it was not.
	Start Hook
	// WarmUp is how long the weight climbs after that; 0 = it does not.
	WarmUp time.Duration
	Drain  Drain
	Stamp  bool // tell in the registration when it was decided
}

// Check is one check of a service.
type Check struct {
	Name       string
	Check      service.Check
	Timeout    time.Duration // of one call
	Rise, Fall int           // at least 1
}

// Reporter is one registry in which a service is registered.
type Reporter struct {
	Name     string // for people: type and place
	Reporter service.Reporter
	// Expose keeps the service registered while it is down, marked as not
	// available.
	Expose bool
}

// Hook is something of the user's that runs at a point of a service's life.
type Hook struct {
	Run     func(context.Context) error // nil = there is none
	Timeout time.Duration
}

// Drain is how a service is taken out in an orderly way: it gets no new
// traffic, what is under way may end, and then the shutdown hook runs.
type Drain struct {
	// ByWeight registers weight 0 while it lasts; the registration is withdrawn
	// at its end. Otherwise it is withdrawn at the beginning.
	ByWeight bool
	// Wait is how long the consumers have to hear of it; at the end of nerve
	// only if AtEnd, or if there is an Idle.
	Wait  time.Duration
	AtEnd bool
	// Idle succeeds when nothing is under way any more. It is asked every second
	// once Wait and Min are over: who has not heard of the drain may be about to
	// send something. Max bounds the whole wait.
	Idle     Hook
	Min, Max time.Duration
	Shutdown Hook
}

// Config is everything that Run keeps going.
type Config struct {
	Services []Service
	// Pending are those that cannot be among them yet, or stand there with their
	// old options.
	Pending []Pending
	// MaxDown is how many services checks may take out of the registries at the
	// same time; 0 = any number.
	MaxDown int
	// Rate is how many registrations are made in a second, in all registries
	// together; 0 = any number. It does not delay withdrawals.
	Rate float64
	// Heartbeat is a file to touch while all loops make progress; empty = none.
	Heartbeat string
	// Beat is called whenever the file would be touched, at least every
	// BeatEvery (0 = as often as the file). Applied is called when the Config
	// is in force. They do not block; nil = nobody wants to know.
	Beat      func()
	BeatEvery time.Duration
	Applied   func()
	// Statsd takes the original's metrics, the same one in every Config; nil =
	// nobody does. Version is a tag of some.
	Statsd  *telemetry.Statsd
	Version string
	// StateFile is where the orders of operators are kept; empty = nowhere.
	StateFile string
}

// tendEvery is how often services are looked for whose checks are far apart, and
// repairEvery from when on such a one looks after its registrations without a
// check: sessions end, leases run out and files lose their sign of life whatever
// check_interval is. Rounds of a second and less come first, and pay nothing.
const (
	tendEvery   = time.Second
	repairEvery = 1500 * time.Millisecond
)

// The bounds of what a registry may take.
const (
	reportDeadline = 5 * time.Second  // of one report
	retryDelay     = time.Second      // after a failed report, if the next round is not sooner
	closeDeadline  = 5 * time.Second  // of a withdrawal
	takeOverLimit  = 30 * time.Second // of a new loop's first report
	// grace is the time that plugins get to notice that their deadline is
	// over, before they are left behind.
	grace = time.Second
)

// call runs f and turns a panic into an error: one service's plugin must not
// withdraw all the others.
func call(ctx context.Context, timeout time.Duration, f func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f(ctx)
}
