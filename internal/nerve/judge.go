package nerve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// judge decides whether one service is up. Only its loop uses it.
type judge struct {
	svc    Service
	log    *slog.Logger
	health []health // one for each check
	bucket bucket

	known, up bool
	held      bool // a change is being held back by the rate limit, and was logged
}

func newJudge(s Service, log *slog.Logger, now time.Time) *judge {
	j := &judge{svc: s, log: log, health: make([]health, len(s.Checks)), bucket: newBucket(s.Limit, now)}
	for i, c := range s.Checks {
		j.health[i] = health{rise: c.Rise, fall: c.Fall}
	}
	return j
}

// round runs the checks once and returns the decision. first tells that there
// was none before. When ctx ends meanwhile the result means nothing and
// nothing is remembered or logged.
func (j *judge) round(ctx context.Context) (up, first bool) {
	check, reason := j.look(ctx)
	if ctx.Err() != nil {
		return j.up, false
	}
	up = reason == nil
	if j.known && up == j.up {
		j.held = false
		return j.up, false
	}
	if !j.bucket.take(time.Now()) {
		if !j.held {
			j.held = true
			j.log.Warn("changes state too often for rate_limiting", "up", up, "shadow_mode", j.svc.Limit.Shadow, "err", reason)
		}
		if !j.svc.Limit.Shadow && j.known {
			return j.up, false
		}
	} else {
		j.held = false
	}
	first = !j.known
	j.known, j.up = true, up
	if up {
		j.log.Info("service is up")
	} else {
		j.log.Warn("service is down", "check", check, "err", reason)
	}
	return up, first
}

// look runs the checks in order up to the first that says down, and returns
// that one's name and reason.
func (j *judge) look(ctx context.Context) (string, error) {
	for i, c := range j.svc.Checks {
		err := call(ctx, c.Timeout, c.Check.Check)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			j.log.Debug("check failed", "check", c.Name, "err", err)
		}
		if !j.health[i].see(err == nil) {
			return c.Name, reasonOf(err, c)
		}
	}
	return "", nil
}

var errRising = errors.New("waiting for more successes in a row")

// reasonOf says why c counts as down: its last result may be a success.
func reasonOf(err error, c Check) error {
	if err == nil {
		return fmt.Errorf("%w: rise is %d", errRising, c.Rise)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", c.Timeout, err)
	}
	return err
}
