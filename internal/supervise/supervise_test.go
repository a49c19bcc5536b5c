package supervise

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRestartsWithGrowingDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var delays []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		a := New(func(context.Context) error { return errors.New("down") }, func(_ error, retry time.Duration) {
			delays = append(delays, retry)
		})
		go a.Supervise(ctx)
		<-time.After(10 * time.Minute)
		cancel()
		synctest.Wait()
		nominal := first
		for i, d := range delays {
			if d < nominal/2 || d > nominal*3/2 {
				t.Errorf("delay %d is %v, want %v ± 50 %%", i, d, nominal)
			}
			nominal = min(2*nominal, longest)
		}
		if len(delays) < 10 {
			t.Errorf("only %d starts in ten minutes", len(delays))
		}
	})
}

func TestDelayStartsAfreshAfterAMinuteOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		a := New(func(context.Context) error {
			if runs++; runs == 8 {
				<-time.After(2 * healthy)
			}
			return errors.New("down")
		}, func(_ error, retry time.Duration) {
			if runs == 8 {
				last = retry
			}
		})
		go a.Supervise(ctx)
		<-time.After(10 * time.Minute)
		cancel()
		synctest.Wait()
		if last > first*3/2 {
			t.Errorf("delay after a healthy run is %v, want about %v", last, first)
		}
	})
}

func TestPanicAndSilentEndAreFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []string
		ctx, cancel := context.WithCancel(t.Context())
		a := New(func(context.Context) error {
			if len(errs) == 0 {
				panic("boom")
			}
			return nil
		}, func(err error, _ time.Duration) { errs = append(errs, err.Error()) })
		go a.Supervise(ctx)
		<-time.After(time.Second)
		cancel()
		synctest.Wait()
		if len(errs) < 2 || !strings.HasPrefix(errs[0], "panic: boom") || errs[1] != errEnded.Error() {
			t.Errorf("failures: %q", errs)
		}
	})
}

func TestRestartEndsTheRunAndSkipsTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		ctx, cancel := context.WithCancel(t.Context())
		a := New(func(ctx context.Context) error {
			if runs++; runs == 2 {
				return errors.New("down")
			}
			<-ctx.Done()
			return nil
		}, func(error, time.Duration) {})
		go a.Supervise(ctx)
		synctest.Wait()
		a.Restart() // ends run 1; run 2 fails and waits
		synctest.Wait()
		a.Restart() // cuts the wait short
		synctest.Wait()
		if runs != 3 {
			t.Errorf("%d runs, want 3", runs)
		}
		cancel()
	})
}

func TestStopEndsTheRunOrTheDelay(t *testing.T) {
	for name, run := range map[string]func(context.Context) error{
		"the run":   func(ctx context.Context) error { <-ctx.Done(); return nil },
		"the delay": func(context.Context) error { return errors.New("down") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs, failures, ended := 0, 0, make(chan struct{})
				a := New(func(ctx context.Context) error { runs++; return run(ctx) }, func(error, time.Duration) { failures++ })
				go func() { defer close(ended); a.Supervise(t.Context()) }()
				synctest.Wait()
				began, before := time.Now(), failures
				a.Stop()
				<-ended
				if runs != 1 || failures != before || !time.Now().Equal(began) {
					t.Errorf("%d runs, %d failures after the stop, %v later", runs, failures-before, time.Since(began))
				}
			})
		})
	}
	t.Run("before the start", func(t *testing.T) {
		a := New(func(context.Context) error { t.Error("it runs"); return nil }, nil)
		a.Stop()
		a.Supervise(t.Context())
	})
}
