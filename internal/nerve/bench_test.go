package nerve

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

// flip is a check that fails when it is told to, and notes when it answered.
type flip struct {
	sick     atomic.Bool
	answered atomic.Int64
}

func (f *flip) Check(context.Context) error {
	if !f.sick.Load() {
		return nil
	}
	f.answered.Store(time.Now().UnixNano())
	return errors.New("sick")
}

// heard is a reporter that notes when it was asked to withdraw.
type heard struct{ down chan int64 }

func (h heard) Report(_ context.Context, r service.Registration) error {
	if !r.Up {
		select {
		case h.down <- time.Now().UnixNano():
		default:
		}
	}
	return nil
}

func (h heard) Close(context.Context) error { return nil }

type fine struct{}

func (fine) Check(context.Context) error { return nil }

// BenchmarkWithdrawal is the time from the answer of the failing check to the
// call that withdraws the registration, beside 999 other services.
func BenchmarkWithdrawal(b *testing.B) {
	check, reporter := &flip{}, heard{down: make(chan int64, 1)}
	var services []Service
	for i := range 1000 {
		s := Service{
			Name: string(rune('a' + i)), Interval: 500 * time.Millisecond,
			Checks:    []Check{{Check: fine{}, Timeout: time.Second, Rise: 1, Fall: 1}},
			Reporters: []Reporter{{Reporter: heard{down: make(chan int64, 1)}}},
		}
		if i == 0 {
			s.Interval = 10 * time.Millisecond
			s.Checks[0].Check, s.Reporters[0].Reporter = check, reporter
		}
		services = append(services, s)
	}
	wake := mailbox.NewWake()
	configs := mailbox.New[Config](wake)
	configs.Put(Config{Services: services})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- Run(ctx, configs, wake, NewControl(), slog.New(slog.DiscardHandler)) }()
	<-time.After(time.Second)
	var took []time.Duration
	for b.Loop() {
		check.answered.Store(0)
		check.sick.Store(true)
		at := <-reporter.down
		took = append(took, time.Duration(at-check.answered.Load()))
		check.sick.Store(false)
		<-time.After(30 * time.Millisecond) // up again
		select {
		case <-reporter.down:
		default:
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}
