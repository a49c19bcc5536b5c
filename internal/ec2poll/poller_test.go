package ec2poll

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// script is a source of which a test says what it answers.
type script struct {
	sync.Mutex
	takes  time.Duration // a poll
	err    error
	values []string // of the tag role, one for each instance
	polls  []time.Time
	afresh int
	closed int
}

func (s *script) open(Query) source {
	return source{close: func() { s.closed++ }, read: func(ctx context.Context, afresh bool) (*Answer, error) {
		s.Lock()
		s.polls = append(s.polls, time.Now())
		if afresh {
			s.afresh++
		}
		s.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(s.takes):
		}
		s.Lock()
		defer s.Unlock()
		if s.err != nil {
			return nil, s.err
		}
		var all []Instance
		for i, v := range s.values {
			all = append(all, Instance{ID: string(rune('a' + i)), Tags: []Tag{{Key: "role", Value: v}}})
		}
		return newAnswer("role", all), nil
	}}
}

// fail makes polls end with err; nil ends that.
func (s *script) fail(err error) {
	s.Lock()
	defer s.Unlock()
	s.err = err
}

// began returns when each poll so far began.
func (s *script) began() []time.Time {
	s.Lock()
	defer s.Unlock()
	return slices.Clone(s.polls)
}

func (s *script) pool(log *slog.Logger) *Pool {
	p := NewPool(log)
	p.open = s.open
	return p
}

var roles = Query{Region: "eu-west-1", Tag: "role"}

// take returns the next answer. A bubble in which none comes ends as a deadlock.
func take(s *Subscription) *Answer {
	for {
		if a, ok := s.Take(); ok {
			return a
		}
		<-s.Wake()
	}
}

// TestManyServicesOnePoll: the number of calls does not depend on the number of
// services, nor of their values.
func TestManyServicesOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{values: []string{"web", "db", "web"}, takes: time.Second}
		pool := s.pool(quiet())
		began := time.Now()
		for range 100 {
			sub := pool.Subscribe(roles, 15*time.Second, false)
			defer sub.Close()
			if a := take(sub); len(a.With("web")) != 2 || len(a.With("db")) != 1 || len(a.All()) != 3 || len(a.With("no")) != 0 {
				t.Fatalf("%+v", a)
			}
			if sub.Fault() != nil {
				t.Fatal(sub.Fault())
			}
		}
		if time.Since(began) > time.Second || len(s.began()) != 1 || !s.began()[0].Equal(began) {
			t.Errorf("polls at %v from %v on, want one at once that serves all", s.began(), began)
		}
		<-time.After(time.Hour) // in the bubble's time
		if n := len(s.began()); n < 3600/18 || n > 3600/14 {
			t.Errorf("%d polls in an hour at an interval of 15 s", n)
		}
	})
}

// A region that is written down is the same as one from the environment.
func TestOneRegionOnePoller(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-west-1")
	synctest.Test(t, func(t *testing.T) {
		s := &script{values: []string{"a"}}
		pool := s.pool(quiet())
		one := pool.Subscribe(Query{Tag: "role"}, time.Minute, false)
		defer one.Close()
		two := pool.Subscribe(Query{Tag: "role", Region: "eu-west-1"}, time.Minute, false)
		defer two.Close()
		three := pool.Subscribe(Query{Tag: "role", Region: "us-east-1"}, time.Minute, false)
		defer three.Close()
		<-time.After(time.Second)
		if n := len(s.began()); n != 2 {
			t.Errorf("%d polls of two regions", n)
		}
	})
}

func TestSmallestIntervalCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		pool := s.pool(quiet())
		slow := pool.Subscribe(roles, 120*time.Second, false)
		defer slow.Close()
		fast := pool.Subscribe(roles, 10*time.Second, false)
		<-time.After(60 * time.Second)
		with := len(s.began())
		fast.Close()
		<-time.After(60 * time.Second)
		if without := len(s.began()) - with; with < 6 || with > 8 || without > 1 {
			t.Errorf("%d polls in a minute at 10 s, then %d at 120 s", with, without)
		}
	})
}

// TestBackOffWhenThrottled: never a tight loop, ever longer, up to five
// minutes, and not shortened by those who want an answer out of turn.
func TestBackOffWhenThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{err: &smithy.GenericAPIError{Code: "RequestLimitExceeded", Message: "Request limit exceeded."}}
		pool := s.pool(slog.New(slog.NewTextHandler(&log, nil)))
		sub := pool.Subscribe(roles, 15*time.Second, false)
		<-time.After(time.Hour)
		polls := s.began()
		for i := range polls[1:] {
			pause := polls[i+1].Sub(polls[i])
			if low := min(15*time.Second<<min(i, 10), longestPause/2); pause < low || pause > longestPause {
				t.Errorf("pause %d is %v, want %v to %v", i+1, pause, low, longestPause)
			}
		}
		if n := len(polls); n > 30 {
			t.Errorf("%d polls in an hour", n)
		}
		sub.Close()
		before := len(s.began())
		sub = pool.Subscribe(roles, 15*time.Second, true) // as a supervisor does
		<-time.After(time.Second)
		if len(s.began()) != before {
			t.Error("a new start forgot the pause")
		}
		if !throttled(sub.Fault()) {
			t.Errorf("a new start forgot the reason: %v", sub.Fault())
		}
		s.fail(nil)
		take(sub)
		sub.Close()
		if got := strings.Count(log.String(), "\n"); got != 2 {
			t.Errorf("want one line for the row of failures and one for its end, got\n%s", &log)
		}
	})
}

func TestFailureIsTriedAgainSoonAndKeepsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{values: []string{"web"}}
		pool := s.pool(quiet())
		sub := pool.Subscribe(roles, 120*time.Second, false)
		defer sub.Close()
		take(sub)
		s.fail(errors.New("broken"))
		for sub.Fault() == nil {
			<-sub.Wake()
		}
		if _, ok := sub.Take(); ok {
			t.Error("a failure yields an answer")
		}
		late := pool.Subscribe(roles, 120*time.Second, false)
		defer late.Close()
		if a := take(late); len(a.With("web")) != 1 || late.Fault() == nil {
			t.Error("want the last answer at once, with the fault")
		}
		from := len(s.began())
		<-time.After(10 * time.Second)
		if n := len(s.began()) - from; n < 3 || n > 5 {
			t.Errorf("%d polls in the ten seconds after a failure", n)
		}
		if s.afresh == 0 {
			t.Error("credentials were not looked for again")
		}
		s.fail(nil)
		take(sub)
		if sub.Fault() != nil {
			t.Error(sub.Fault())
		}
	})
}

// TestAfresh: who asks for what is there from now on gets no older answer, not
// even that of a poll which is under way; and one poll does for all.
func TestAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{values: []string{"web"}, takes: 100 * time.Millisecond}
		pool := s.pool(quiet())
		first := pool.Subscribe(roles, 15*time.Second, false)
		defer first.Close()
		synctest.Wait() // the first poll is under way
		var subs []*Subscription
		for range 20 {
			subs = append(subs, pool.Subscribe(roles, 15*time.Second, true))
		}
		for _, sub := range subs {
			if a := take(sub); a.poll != 2 {
				t.Errorf("answer of poll %d", a.poll)
			}
			sub.Close()
		}
		if took := s.began()[1].Sub(s.began()[0]); len(s.began()) != 2 || took > 2*time.Second {
			t.Errorf("%d polls, the second %v after the first", len(s.began()), took)
		}
	})
}

// TestCloseEndsACall: the last subscription ends its poller within the second
// that Run has, whatever EC2 does.
func TestCloseEndsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{takes: time.Hour}
		sub := s.pool(quiet()).Subscribe(roles, time.Second, false)
		synctest.Wait()
		began := time.Now()
		sub.Close()
		if time.Since(began) > 0 || s.closed != 1 || len(s.began()) != 1 {
			t.Errorf("took %v, closed %d times, %d polls", time.Since(began), s.closed, len(s.began()))
		}
	})
}

func TestPause(t *testing.T) {
	cases := []struct {
		name      string
		p         pace
		interval  time.Duration
		low, high time.Duration
	}{
		{"usual", pace{}, 100 * time.Second, 90 * time.Second, 110 * time.Second},
		{"first failure", pace{failures: 1}, 15 * time.Second, 500 * time.Millisecond, time.Second},
		{"failures for long", pace{failures: 1e6}, 15 * time.Second, 13500 * time.Millisecond, 16500 * time.Millisecond},
		{"throttled", pace{failures: 1, throttled: true}, 15 * time.Second, 15 * time.Second, 30 * time.Second},
		{"throttled for long", pace{failures: 1e6, throttled: true}, 15 * time.Second, 150 * time.Second, 300 * time.Second},
		{"throttled at a long interval", pace{failures: 9, throttled: true}, time.Hour, time.Hour, 2 * time.Hour},
	}
	for _, c := range cases {
		c.p.ended = time.Unix(1e9, 0)
		for _, roll := range []float64{0, 0.5, 0.999} {
			c.p.roll = roll
			if got := c.p.due(c.interval, false).Sub(c.p.ended); got < c.low || got > c.high {
				t.Errorf("%s: %v, want %v to %v", c.name, got, c.low, c.high)
			}
		}
	}
}
