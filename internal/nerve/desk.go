package nerve

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

// desk is the goroutine that owns one reporter of one service.
type desk struct {
	name     string
	reporter service.Reporter
	expose   bool
	queue    *queue
	crew     *crew
	hops     Hops
	retry    time.Duration
	log      *slog.Logger

	wake chan struct{}
	want *atomic.Pointer[wish] // the unit's; nil before its first decision
	made atomic.Pointer[wish]  // what was wanted at the last report that succeeded

	epoch     time.Time
	busySince atomic.Int64 // nanoseconds since epoch; 0 = waiting
	trouble   atomic.Pointer[trouble]
	failing   time.Time // since when reports fail; zero = they do not
	said      time.Time // when that was last logged
	teller    teller
}

// reminder is the time between two log lines about the same failing reporter.
const reminder = time.Minute

// trouble is why the last report failed, for the status.
type trouble struct {
	err   error
	since time.Time
}

func newDesk(r Reporter, s Service, want *atomic.Pointer[wish], seat *seat, log *slog.Logger) *desk {
	return &desk{
		name: r.Name, reporter: r.Reporter, expose: r.Expose, queue: seat.queue, crew: seat.crew, hops: seat.hops, retry: min(s.Interval, retryDelay),
		log:  log.With("reporter", r.Name),
		wake: mailbox.NewWake(), want: want, epoch: seat.queue.epoch,
		teller: teller{statsd: seat.statsd, service: "service_name:" + s.Name, version: "nerve_version:" + seat.version},
	}
}

// knock tells that what is wanted is new, or worth a look.
func (d *desk) knock() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// serve makes true what the loop wants until ctx ends. It calls reported after
// the first report that succeeds.
func (d *desk) serve(ctx context.Context, reported func()) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-again:
		}
		again = nil
		if wait := d.queued(); wait > 0 {
			d.await(ctx, wait)
		}
		if ctx.Err() != nil {
			return
		}
		want := d.want.Load()
		current := d.wanted(want)
		err := d.report(ctx, current)
		if ctx.Err() != nil {
			return
		}
		d.tell(err, current)
		d.teller.round(want.Up, err)
		if err != nil {
			again = time.After(d.retry)
			continue
		}
		d.done(want)
		if reported != nil {
			reported()
			reported = nil
		}
	}
}

// report makes r true. In most rounds it is, and then neither the crew nor a
// deadline is needed.
func (d *desk) report(ctx context.Context, r service.Registration) error {
	if s, ok := d.reporter.(settler); ok && s.Settled(r) {
		return nil
	}
	return d.call(ctx, reportDeadline, func(ctx context.Context) error { return d.reporter.Report(ctx, r) })
}

// wanted is what this registry is to hold.
func (d *desk) wanted(want *wish) service.Registration {
	if d.expose {
		return want.Expose()
	}
	return want.Registration
}

// done takes note that the registry holds what is wanted.
func (d *desk) done(want *wish) {
	if made := d.made.Swap(want); made != nil && made != want {
		d.hops.Registered.Observe(time.Since(want.at))
	}
}

// queued returns how long the next report has to wait for its turn: not at all,
// unless it is going to register something that is not there yet.
func (d *desk) queued() time.Duration {
	want := d.want.Load()
	if !want.Up {
		return 0
	}
	if s, ok := d.reporter.(stander); ok {
		if s.Stands(d.wanted(want)) || s.Holds() {
			return 0
		}
	} else if made := d.made.Load(); made != nil && made.Up {
		return 0
	}
	return d.queue.wait()
}

// await waits for the turn, but not with a withdrawal.
func (d *desk) await(ctx context.Context, wait time.Duration) {
	turn := time.After(wait)
	for {
		select {
		case <-ctx.Done():
			return
		case <-turn:
			return
		case <-d.wake:
			if !d.want.Load().Up {
				return
			}
		}
	}
}

// close withdraws the registration. ctx must not be the one that has ended.
func (d *desk) close(ctx context.Context) error {
	if err := d.call(ctx, closeDeadline, d.reporter.Close); err != nil {
		return fmt.Errorf("withdrawing from %s: %w", d.name, err)
	}
	return nil
}

// call lets the crew run f and waits for it: the desk's own goroutine, which
// lives as long as the service, never needs a deep stack.
func (d *desk) call(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	d.busySince.Store(int64(time.Since(d.epoch)) + 1)
	defer d.busySince.Store(0)
	done := make(chan error)
	d.crew.do(func() { done <- call(ctx, timeout, f) })
	return <-done
}

// stuck tells whether a call has ignored its deadline.
func (d *desk) stuck() bool {
	since := d.busySince.Load()
	return since != 0 && time.Since(d.epoch)-time.Duration(since) > max(reportDeadline, closeDeadline)+grace
}

// tell logs a change from working to failing and back, and reminds of a
// failure that stays.
func (d *desk) tell(err error, r service.Registration) {
	now := time.Now()
	if err != nil {
		since := d.failing
		if since.IsZero() {
			since = now
		}
		d.trouble.Store(&trouble{err, since})
	}
	switch {
	case err == nil && d.failing.IsZero():
	case err == nil:
		d.log.Info("reports again", "up", r.Up, "failed_for", now.Sub(d.failing).Round(time.Millisecond))
		d.failing = time.Time{}
		d.trouble.Store(nil)
	case d.failing.IsZero():
		d.failing, d.said = now, now
		d.log.Error("cannot report; trying again", "up", r.Up, "err", err, "retry", d.retry)
	case now.Sub(d.said) >= reminder:
		d.said = now
		d.log.Error("still cannot report", "up", r.Up, "err", err, "failing_for", now.Sub(d.failing).Round(time.Second))
	}
}

func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
