package nerve

import (
	"context"
	"time"

	"smartstack/internal/service"
)

// Service is one thing to keep registered. Names are unique.
type Service struct {
	Name string
	// Key is the canonical text of everything the service was built from; on a
	// reload a service with an equal key keeps running.
	Key       string
	Backend   service.Backend
	Interval  time.Duration // from the beginning of one round to the next
	Checks    []Check       // all must pass, in this order; none = always up
	Reporters []Reporter
	Limit     Limit
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
}

// Config is everything that Run keeps going.
type Config struct {
	Services []Service
	// Heartbeat is a file to touch while all loops make progress; empty = none.
	Heartbeat string
}

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
