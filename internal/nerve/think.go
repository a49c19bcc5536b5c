package nerve

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"smartstack/internal/service"
)

// think turns what is new, from checks, hooks, operators and the clock, into
// what is wanted of the registries. It may be called from any goroutine.
func (u *unit) think() { u.turn.take(u.thought) }

func (u *unit) thought() {
	if u.running.Err() != nil {
		return
	}
	now := time.Now()
	for i, p := range u.probes {
		if r := p.newest.Swap(nil); r != nil && p.check.Check != nil {
			u.judge.hear(i, r.err)
		}
	}
	u.judge.decide(now)
	order := u.seat.ordered(now)
	if u.judge.known {
		u.place(order, now)
		u.wish(order, now)
	}
	u.show()
}

// place decides whether the service is to be registered.
func (u *unit) place(order Order, now time.Time) {
	first := !closed(u.decided)
	if was := u.seat.standing.Load(); first && was != nil && was.up {
		u.up, u.warmed = true, was.warmed // by the loop before this one
	}
	switch {
	case !u.stands(order):
		u.up, u.startErr = false, nil
		u.starting.cancel()
		u.starting = nil
	case !u.up && u.started(now):
		u.up, u.warmed = true, now
	}
	if first {
		close(u.decided)
	}
	if !u.up {
		closeOnce(u.isDown)
	}
}

// stands tells whether the service should be registered.
func (u *unit) stands(order Order) bool {
	switch out := order.Out; {
	case u.judge.level == dead:
		return false
	case out == nil:
		return true
	default: // what is not registered is not put in for its drain
		return u.up && u.svc.Drain.ByWeight && out.Drain && !out.Drained && !out.quiet
	}
}

// wish tells the desks what is wanted.
func (u *unit) wish(order Order, now time.Time) {
	r := service.Registration{Up: u.up, Backend: u.svc.Backend}
	w := r.Backend.Weight
	if order.Weight != nil {
		w = service.KnownInt(int64(order.Weight.Value))
	}
	switch {
	case !u.up:
		r.Reason = u.reason(order)
	case order.Out != nil:
		w = service.KnownInt(0)
	default:
		w = weigh(w, u.judge.level, ramp(now.Sub(u.warmed), u.svc.WarmUp))
	}
	r.Backend.Weight = w
	r = u.stamp.on(r, u.svc.Stamp, now)
	old := u.want.Load()
	changed := old == nil || r != old.Registration
	if changed {
		u.want.Store(&wish{Registration: r, at: now})
	}
	if s := u.seat.standing.Load(); u.reports() && (s == nil || *s != standing{u.up, u.judge.level, u.warmed}) {
		u.seat.standing.Store(&standing{u.up, u.judge.level, u.warmed})
	}
	// Once in a round is enough to repair what vanished.
	if !changed && u.sinceTold() < min(repairEvery, u.svc.Interval*3/4) {
		return
	}
	u.told.Store(int64(now.Sub(u.seat.queue.epoch)))
	for _, d := range u.desks {
		d.knock()
	}
}

// reason says why the service is not registered. It does not change as long as
// that stays so: it may be in a registry.
func (u *unit) reason(order Order) string {
	switch {
	case order.Out != nil && order.Out.Reason != "":
		return "taken out: " + order.Out.Reason
	case order.Out != nil:
		return "taken out"
	case u.judge.level == dead && u.judge.why != nil:
		return brief(u.judge.check + ": " + u.judge.why.Error())
	case u.judge.level == dead:
		return "down"
	default:
		return "starting"
	}
}

// brief keeps the first line of a text, and not all of that: what a service
// answers is not for everybody's registry.
func brief(text string) string {
	const most = 300
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}

// starting is a start hook that runs.
type starting struct {
	stop context.CancelFunc
	done atomic.Bool
	err  error // read after done
}

func (s *starting) cancel() {
	if s != nil {
		s.stop()
	}
}

// started runs the start hook, and tells whether it has succeeded. It is asked
// again after the hook has ended.
func (u *unit) started(now time.Time) bool {
	hook := u.svc.Start
	switch {
	case hook.Run == nil:
		return true
	case u.starting == nil && now.Before(u.retry):
		return false
	case u.starting == nil:
		ctx, cancel := context.WithCancel(u.running)
		s := &starting{stop: cancel}
		u.starting = s
		u.hooks.Go(func() {
			defer cancel()
			s.err = call(ctx, hook.Timeout, hook.Run)
			s.done.Store(true)
			u.think()
		})
		return false
	case !u.starting.done.Load():
		return false
	}
	err := u.starting.err
	u.starting, u.retry = nil, now.Add(retryDelay)
	if err != nil && u.startErr == nil {
		u.log.Error("the start hook fails; the service is not registered before it succeeds", "err", err)
	}
	u.startErr = err
	return err == nil
}
