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

// unit is one running service: its probes, its turn and its desks. Its life has
// three steps, so that a successor can take over between them: it reports (from
// begin on), it is quiet (after quit: no report any more, what is registered
// stays), it withdraws (after release).
//
// The order that reporters may rely on is: the old unit's last Report, the new
// unit's first Report, the old unit's Close.
type unit struct {
	svc    Service
	log    *slog.Logger
	seat   *seat
	probes []*probe
	desks  []*desk
	turn   turn

	running context.Context // ends at quit
	quit    context.CancelFunc
	begin   chan struct{} // closed by the owner: reports may start
	release chan struct{} // closed by the owner: withdraw
	decided chan struct{} // closed after the first decision
	isDown  chan struct{} // closed after the first decision not to be registered
	settled chan struct{} // closed when every reporter has reported once
	quiet   chan struct{} // closed when nothing checks or reports any more
	gone    chan struct{} // closed when everything has ended
	err     error         // what could not be withdrawn; read after gone

	unsettled atomic.Int32 // reporters without a first report
	hooks     sync.WaitGroup
	want      atomic.Pointer[wish] // nil before the first decision
	view      atomic.Pointer[view] // for the status

	// What follows belongs to whoever has the turn.
	judge    *judge
	up       bool      // is to be registered
	warmed   time.Time // since when
	starting *starting // the start hook is under way
	startErr error     // of the last start hook, while up is false
	retry    time.Time // when the next start hook may run
	stamp    stamp

	told atomic.Int64 // when the desks were last woken, on the process's clock
}

// start starts s. The registrations are withdrawn under ctx without its end;
// the end of ctx itself means quit and release.
func start(ctx context.Context, s Service, seat *seat, log *slog.Logger) *unit {
	now := time.Now()
	running, quit := context.WithCancel(ctx)
	u := &unit{
		svc: s, log: log.With("service", s.Name), seat: seat, running: running, quit: quit,
		begin: make(chan struct{}), release: make(chan struct{}), decided: make(chan struct{}),
		isDown: make(chan struct{}), settled: make(chan struct{}), quiet: make(chan struct{}), gone: make(chan struct{}),
	}
	u.judge = newJudge(&u.svc, seat, u.log, now)
	u.view.Store(&view{since: now})
	u.unsettled.Store(int32(len(s.Reporters)))
	for _, r := range s.Reporters {
		u.desks = append(u.desks, newDesk(r, s, &u.want, seat, u.log))
	}
	if len(u.desks) == 0 {
		close(u.settled)
	}
	checks, pace := s.Checks, newPace(seat.queue.epoch, now, s.Interval)
	if len(checks) == 0 {
		checks = []Check{{}} // the rounds repair what vanished, whatever is checked
	}
	for _, c := range checks {
		u.probes = append(u.probes, newProbe(c, s.Interval, pace, u))
	}
	u.run(ctx)
	return u
}

// run starts what makes the unit, and sees to its end without a goroutine that
// waits for it. ctx ends with the program.
func (u *unit) run(ctx context.Context) {
	u.tellStart()
	w := &work{errs: make([]error, len(u.desks))}
	w.reporting.Add(len(u.desks))
	for i, d := range u.desks {
		w.all.Go(func() {
			u.serve(d)
			w.reporting.Done()
			select {
			case <-u.release:
			case <-ctx.Done():
			}
			w.errs[i] = d.close(context.WithoutCancel(ctx))
		})
	}
	for _, p := range u.probes {
		p.begin(u.running)
	}
	context.AfterFunc(u.running, func() { u.finish(w) })
}

// work is what the end of a unit waits for.
type work struct {
	reporting sync.WaitGroup // until no desk reports any more
	all       sync.WaitGroup // until all have withdrawn
	errs      []error        // of each desk; read after all
}

// finish waits for the end of everything, once nothing is to be begun.
func (u *unit) finish(w *work) {
	defer close(u.gone)
	defer u.tellStop()
	limit, over := context.WithTimeout(context.Background(), grace)
	for _, p := range u.probes {
		p.end(limit.Done())
	}
	over()
	u.hooks.Wait()
	w.reporting.Wait()
	close(u.quiet)
	w.all.Wait()
	if err := errors.Join(w.errs...); err != nil {
		u.err = fmt.Errorf("service %s: %w", u.svc.Name, err)
	}
}

func (u *unit) serve(d *desk) {
	select {
	case <-u.begin:
	case <-u.running.Done():
		return
	}
	d.serve(u.running, func() {
		if u.unsettled.Add(-1) == 0 {
			close(u.settled)
		}
	})
}

// reports tells whether begin is over.
func (u *unit) reports() bool { return closed(u.begin) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// closeOnce closes a channel that only the caller closes.
func closeOnce(c chan struct{}) {
	if !closed(c) {
		close(c)
	}
}

// stop ends the unit and withdraws its registrations, without waiting.
func (u *unit) stop() {
	u.quit()
	close(u.release)
}

// acknowledged tells whether every registry has taken what is wanted, and that
// is not to be registered, or with weight 0.
func (u *unit) acknowledged() bool {
	want := u.want.Load()
	if want == nil || want.Up && want.Backend.Weight != service.KnownInt(0) {
		return false
	}
	for _, d := range u.desks {
		if d.made.Load() != want {
			return false
		}
	}
	return true
}

// forgotten tells that the desks have not been woken for a while: the checks are
// far apart, or take long.
func (u *unit) forgotten() bool { return u.sinceTold() >= repairEvery }

func (u *unit) sinceTold() time.Duration {
	return time.Since(u.seat.queue.epoch) - time.Duration(u.told.Load())
}

// stuck names what has made no progress for longer than it may take; empty
// means all is well.
func (u *unit) stuck() string {
	for _, p := range u.probes {
		if p.stuck() {
			return "checks"
		}
	}
	for _, d := range u.desks {
		if d.stuck() {
			return d.name
		}
	}
	return ""
}

// turn lets one goroutine at a time work, without a lock and without a
// goroutine that waits for work: who finds another at it leaves it one more
// round to do.
type turn struct{ knocks atomic.Int32 }

// take calls work, or has it called again by the one that is at it.
func (t *turn) take(work func()) {
	if t.knocks.Add(1) > 1 {
		return
	}
	for done := int32(1); done > 0; {
		work()
		done = t.knocks.Add(-done)
	}
}
