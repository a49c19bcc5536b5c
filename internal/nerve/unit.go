package nerve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"smartstack/internal/service"
)

// unit is one running service: its loop and its desks. Its life has three
// steps, so that a successor can take over between them: it reports (from
// begin on), it is quiet (after quit: no report any more, what is registered
// stays), it withdraws (after release).
//
// The order that reporters may rely on is: the old unit's last Report, the new
// unit's first Report, the old unit's Close.
type unit struct {
	svc   Service
	log   *slog.Logger
	pace  pace
	desks []*desk

	quit    context.CancelFunc
	begin   chan struct{} // closed by the owner: reports may start
	release chan struct{} // closed by the owner: withdraw
	decided chan struct{} // closed after the first decision
	isDown  chan struct{} // closed after the first decision that is down
	settled chan struct{} // closed when every reporter has reported once
	quiet   chan struct{} // closed when nothing checks or reports any more
	gone    chan struct{} // closed when everything has ended
	err     error         // what could not be withdrawn; read after gone

	unsettled atomic.Int32 // reporters without a first report
	lastRound atomic.Int64 // Unix nanoseconds of the newest sign of life of the loop
}

// start starts s. The registrations are withdrawn under ctx without its end;
// the end of ctx itself means quit and release.
func start(ctx context.Context, s Service, epoch time.Time, log *slog.Logger) *unit {
	now := time.Now()
	running, quit := context.WithCancel(ctx)
	u := &unit{
		svc: s, log: log.With("service", s.Name), pace: newPace(epoch, now, s.Interval), quit: quit,
		begin: make(chan struct{}), release: make(chan struct{}), decided: make(chan struct{}),
		isDown: make(chan struct{}), settled: make(chan struct{}), quiet: make(chan struct{}), gone: make(chan struct{}),
	}
	u.lastRound.Store(now.UnixNano())
	u.unsettled.Store(int32(len(s.Reporters)))
	for _, r := range s.Reporters {
		u.desks = append(u.desks, newDesk(r, s.Interval, u.log))
	}
	if len(u.desks) == 0 {
		close(u.settled)
	}
	go u.run(running, ctx)
	return u
}

// run ends when all registrations are withdrawn. running ends at quit, ctx
// with the program.
func (u *unit) run(running, ctx context.Context) {
	defer close(u.gone)
	errs := make([]error, len(u.desks))
	var all, reporting sync.WaitGroup
	reporting.Add(len(u.desks))
	for i, d := range u.desks {
		all.Go(func() {
			u.serve(running, d)
			reporting.Done()
			select {
			case <-u.release:
			case <-ctx.Done():
			}
			errs[i] = d.close(context.WithoutCancel(ctx))
		})
	}
	u.loop(running)
	reporting.Wait()
	close(u.quiet)
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		u.err = fmt.Errorf("service %s: %w", u.svc.Name, err)
	}
}

func (u *unit) serve(running context.Context, d *desk) {
	select {
	case <-u.begin:
	case <-running.Done():
		return
	}
	d.serve(running, func() {
		if u.unsettled.Add(-1) == 0 {
			close(u.settled)
		}
	})
}

// loop checks, decides and tells the desks, round after round. Each round has a
// goroutine of its own, which is gone between rounds: checks need deep stacks,
// and a thousand of those held for nothing would be most of nerve's memory.
func (u *unit) loop(ctx context.Context) {
	j := newJudge(u.svc, u.log, time.Now())
	over := make(chan struct{})
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if ctx.Err() == nil {
			u.round(ctx, j)
			now := time.Now()
			timer.Reset(u.pace.next(now).Sub(now))
			// At an end that came meanwhile, whoever stops the timer has the
			// last word: this round, or the loop that did not see it.
			if ctx.Err() == nil || !timer.Stop() {
				return
			}
		}
		close(over)
	})
	timer.Reset(time.Until(u.pace.first()))
	<-ctx.Done()
	if !timer.Stop() {
		<-over
	}
}

// round checks once, and passes the decision on.
func (u *unit) round(ctx context.Context, j *judge) {
	up, first := j.round(ctx)
	if ctx.Err() != nil {
		return // a check that was cut short says nothing
	}
	for _, d := range u.desks {
		d.want.Put(service.Registration{Up: up, Backend: u.svc.Backend})
	}
	if first {
		close(u.decided)
	}
	u.noteDown(up)
	u.lastRound.Store(time.Now().UnixNano())
}

// noteDown closes isDown at the first decision that is down; only the loop
// calls it.
func (u *unit) noteDown(up bool) {
	if up {
		return
	}
	select {
	case <-u.isDown:
	default:
		close(u.isDown)
	}
}

// stop ends the unit and withdraws its registrations, without waiting.
func (u *unit) stop() {
	u.quit()
	close(u.release)
}

// stuck names what has made no progress for longer than it may take; empty
// means all is well.
func (u *unit) stuck(now time.Time) string {
	allowed := u.svc.Interval + soon + 10*grace
	for _, c := range u.svc.Checks {
		allowed += c.Timeout
	}
	if now.Sub(time.Unix(0, u.lastRound.Load())) > allowed {
		return "checks"
	}
	for _, d := range u.desks {
		if d.stuck(now) {
			return d.name
		}
	}
	return ""
}
