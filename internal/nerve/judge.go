package nerve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"smartstack/internal/service"
)

// judge decides how well one service is. Whoever has the turn of its unit uses
// it.
type judge struct {
	svc   *Service
	seat  *seat
	log   *slog.Logger
	heard []opinion // one for each check
	past  past
	spent bool // a token of past.bucket
	heir  bool // past is that of the loop before

	raw   int // the level by the checks alone
	known bool
	level int // as decided
	since time.Time
	check string // the one that level and reason come from
	why   error  // why the level is not whole
	held  hold   // why it is not that of the checks

	doubted time.Time // since when results speak against level; zero = none does
}

// opinion is what one check has led to.
type opinion struct {
	known  bool
	health health
	level  int
	err    error // the newest result
	blind  bool  // which tells about us, and not about the service
}

// hold names what keeps a decision from following the checks.
type hold string

const (
	holdLimit   hold = "rate_limiting"
	holdDamping hold = "flap_damping"
	holdGate    hold = "max_down_at_once"
)

func newJudge(s *Service, seat *seat, log *slog.Logger, now time.Time) *judge {
	j := &judge{
		svc: s, seat: seat, log: log, heard: make([]opinion, len(s.Checks)),
		past: past{bucket: newBucket(s.Limit, now), flaps: flaps{damping: s.Damping}}, since: now,
	}
	if before := seat.past.Load(); before != nil {
		j.past, j.heir = before.under(s, j.past), true
	}
	for i, c := range s.Checks {
		j.heard[i].health = newHealth(c)
	}
	return j
}

// hear takes the result of a check.
func (j *judge) hear(i int, err error) {
	o := &j.heard[i]
	if blind := service.OutOfMeans(err); blind != o.blind {
		o.blind = blind
		if blind {
			j.log.Error("nerve cannot check; what is registered stays as it is", "check", j.svc.Checks[i].Name, "err", err)
		} else {
			j.log.Info("nerve can check again", "check", j.svc.Checks[i].Name)
		}
	}
	if o.err = err; o.blind {
		return
	}
	if err != nil {
		j.log.Debug("check failed", "check", j.svc.Checks[i].Name, "err", err)
	}
	o.known, o.level = true, o.health.see(err)
}

// look returns the level by the checks, and which of them it comes from. It is
// not known before all have spoken, unless one says down.
func (j *judge) look() (level, check int, known bool) {
	level, check, known = whole, -1, true
	for i := range j.heard {
		o := &j.heard[i]
		switch {
		case !o.known:
			known = false
		case o.level == dead:
			return dead, i, true
		case o.level < level:
			level, check = o.level, i
		}
	}
	return level, check, known
}

// decide makes up its mind about what has been heard.
func (j *judge) decide(now time.Time) {
	raw, check, known := j.look()
	if !known {
		return
	}
	before := j.past.flaps
	j.spent = false
	j.follow(raw, check, now)
	j.doubt(now)
	if j.spent || j.past.flaps != before {
		kept := j.past
		j.seat.past.Store(&kept)
	}
}

// follow lets the decision follow the checks, as far as nothing holds it.
func (j *judge) follow(raw, check int, now time.Time) {
	from, first := j.level, !j.known
	if first {
		from = j.seat.level()
	} else if raw < j.raw {
		j.past.flaps.drop(now)
	}
	j.raw = raw
	if raw == from && (!first || j.heir) {
		j.hold("", raw)
		if first {
			j.set(raw, check, now)
		}
		return
	}
	if held := j.holds(raw, from, first && !j.heir, now); held != "" {
		j.hold(held, raw)
		if first { // what stood before goes on
			j.set(from, check, now)
		}
		return
	}
	j.hold("", raw)
	j.set(raw, check, now)
}

// holds tells what the change has to wait for. first means that nothing has been
// decided about the service before.
func (j *judge) holds(raw, from int, first bool, now time.Time) hold {
	limited := !j.past.bucket.has(now)
	if limited && !first {
		j.throttled()
	}
	switch {
	case raw > from && j.past.flaps.hold(now):
		return holdDamping
	case limited && !first && !j.svc.Limit.Shadow:
		return holdLimit
	case raw == dead && from > dead && !j.seat.leave():
		return holdGate
	case limited && !first:
		j.log.Warn("changes too often for rate_limiting, which only tells in shadow_mode", "percent", raw)
	default:
		j.past.bucket.take(now)
		j.spent = true
	}
	return ""
}

// hold remembers, and logs once, what the decision waits for.
func (j *judge) hold(by hold, raw int) {
	if by == j.held {
		return
	}
	j.held = by
	switch by {
	case holdLimit:
		j.log.Warn("changes state too often for rate_limiting; the change waits", "percent", raw)
	case holdDamping:
		j.log.Warn("flaps; it is not registered before it has been calm for a while", "flaps", j.past.flaps.total,
			"until", j.past.flaps.until())
	case holdGate:
		j.log.Error("checks say down, but max_down_at_once services are down already; it stays registered")
	}
}

// set makes level the decision.
func (j *judge) set(level, check int, now time.Time) {
	j.check, j.why = "", nil
	if check >= 0 {
		j.check, j.why = j.svc.Checks[check].Name, j.reason(check)
	}
	if level > dead {
		j.seat.back()
	}
	if j.known && level != j.level {
		j.judged(now)
	}
	if !j.known || grade(level) != grade(j.level) {
		j.since = now
		switch grade(level) {
		case dead:
			j.log.Warn("service is down", "check", j.check, "err", j.why)
		case whole:
			j.log.Info("service is up")
		default:
			j.log.Warn("service is degraded", "percent", level, "check", j.check, "err", j.why)
		}
	}
	j.known, j.level = true, level
}

// grade puts all degraded levels into one.
func grade(level int) int {
	switch level {
	case dead, whole:
		return level
	default:
		return whole / 2
	}
}

var errRising = errors.New("waiting for more successes in a row")

// reason says why a check does not count as well: its last result may be a
// success.
func (j *judge) reason(check int) error {
	c, err := j.svc.Checks[check], j.heard[check].err
	switch {
	case err == nil:
		return fmt.Errorf("%w: rise is %d", errRising, c.Rise)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v: %w", c.Timeout, err)
	default:
		return err
	}
}
