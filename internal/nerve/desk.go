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
	retry    time.Duration
	log      *slog.Logger

	wake chan struct{}
	want *mailbox.Latest[service.Registration]

	busySince atomic.Int64 // Unix nanoseconds; 0 = waiting
	failing   time.Time    // since when reports fail; zero = they do not
	said      time.Time    // when that was last logged
}

// reminder is the time between two log lines about the same failing reporter.
const reminder = time.Minute

func newDesk(r Reporter, interval time.Duration, log *slog.Logger) *desk {
	wake := mailbox.NewWake()
	return &desk{
		name: r.Name, reporter: r.Reporter, retry: min(interval, retryDelay),
		log:  log.With("reporter", r.Name),
		wake: wake, want: mailbox.New[service.Registration](wake),
	}
}

// serve makes true what the loop wants until ctx ends. It calls reported after
// the first report that succeeds.
func (d *desk) serve(ctx context.Context, reported func()) {
	var again <-chan time.Time
	var current service.Registration
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-again:
		}
		if ctx.Err() != nil {
			return
		}
		if r, ok := d.want.Take(); ok {
			current = r
		}
		again = nil
		err := d.call(ctx, reportDeadline, func(ctx context.Context) error { return d.reporter.Report(ctx, current) })
		if ctx.Err() != nil {
			return
		}
		d.tell(err, current)
		if err != nil {
			again = time.After(d.retry)
		} else if reported != nil {
			reported()
			reported = nil
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

// call runs f on a goroutine of its own and waits for it: the stack that f
// needs is gone afterwards, while the desk's own lives as long as the service.
func (d *desk) call(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	d.busySince.Store(time.Now().UnixNano())
	defer d.busySince.Store(0)
	done := make(chan error)
	go func() { done <- call(ctx, timeout, f) }()
	return <-done
}

// stuck tells whether a call has ignored its deadline.
func (d *desk) stuck(now time.Time) bool {
	since := d.busySince.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) > max(reportDeadline, closeDeadline)+grace
}

// tell logs a change from working to failing and back, and reminds of a
// failure that stays.
func (d *desk) tell(err error, r service.Registration) {
	now := time.Now()
	switch {
	case err == nil && d.failing.IsZero():
	case err == nil:
		d.log.Info("reports again", "up", r.Up, "failed_for", now.Sub(d.failing).Round(time.Millisecond))
		d.failing = time.Time{}
	case d.failing.IsZero():
		d.failing, d.said = now, now
		d.log.Error("cannot report; trying again", "up", r.Up, "err", err, "retry", d.retry)
	case now.Sub(d.said) >= reminder:
		d.said = now
		d.log.Error("still cannot report", "up", r.Up, "err", err, "failing_for", now.Sub(d.failing).Round(time.Second))
	}
}

func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
