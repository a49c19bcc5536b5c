package synapse

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

func TestLookTellsWhatTheHubKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, out := newScripted(), newScripted(), newRecorder()
		policy := Policy{LabelFilters: []service.LabelFilter{{Label: "az", Value: "1"}}}
		hub, stop := start(t, Config{
			Services: []Definition{define("a", a, policy), define("b", b, Policy{})},
			Outputs:  []service.Output{out}, StartDeadline: time.Second,
		})
		defer stop()
		in, other, none := backends(3)[0], backends(3)[1], backends(3)[2]
		in.Labels, other.Labels = `{"az":1}`, `{"az":"2"}`
		u := update(in, other, none)
		u.Rejected, u.RejectedTotal = []service.Rejection{{Entry: "x", Reason: "is empty"}}, 1
		a.words <- u
		synctest.Wait()
		l, err := hub.Look(t.Context(), "a")
		if err != nil || !l.Spoken || l.Listed.Len() != 3 || l.Serving.Len() != 1 || l.Update.RejectedTotal != 1 {
			t.Fatalf("%+v, %v", l, err)
		}
		s := l.Standings()
		if !s[0].Serves || s[1].Serves || !strings.Contains(s[1].Reason, `want label "az" = "1", and it has "2"`) || !strings.Contains(s[2].Reason, "no such label") {
			t.Errorf("%+v", s)
		}
		b.fails <- errors.New("refused")
		synctest.Wait()
		all, err := hub.LookAll(t.Context())
		if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Spoken || all[1].Failing == nil {
			t.Errorf("%+v, %v", all, err)
		}
		if _, err := hub.Look(t.Context(), "c"); !errors.Is(err, ErrNoService) {
			t.Error(err)
		}
	})
}

// feeling is a watcher that knows its condition.
type feeling struct {
	*scripted
	service.Pulse
}

// A part that fails is told at once, with its age, and is stale after a minute.
func TestLookTellsOfFailingParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &feeling{scripted: newScripted()}
		hub, stop := start(t, Config{Services: []Definition{define("a", w, Policy{})}, StartDeadline: time.Second})
		defer stop()
		w.words <- update(backends(2)...)
		w.Tell("one", nil)
		look := func() Look {
			t.Helper()
			synctest.Wait()
			l, err := hub.Look(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		if l := look(); !l.Stale().IsZero() || l.IsStale(time.Now()) || len(l.Troubles()) != 0 {
			t.Errorf("%+v", l)
		}
		<-time.After(time.Hour)
		w.Tell("two", nil)
		w.Tell("one", errors.New("refused"))
		since := time.Now()
		if l := look(); !l.Updated().Equal(since) || !l.Stale().Equal(since) || l.IsStale(time.Now()) || len(l.Troubles()) != 1 || !strings.Contains(l.Troubles()[0], "one") {
			t.Errorf("%+v", l)
		}
		<-time.After(time.Minute)
		w.fails <- errors.New("all is lost")
		if l := look(); !l.Stale().Equal(since) || !l.IsStale(time.Now()) || len(l.Troubles()) != 1 || !strings.Contains(l.Troubles()[0], "all is lost") {
			t.Errorf("%+v", l)
		}
	})
}

func TestLookEndsWithItsContext(t *testing.T) {
	hub := New(Config{}, nil) // nobody runs it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := hub.LookAll(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStandingsSayWhyABackendIsKept(t *testing.T) {
	old, said := backends(3), backends(3)[:1]
	p := Policy{MinServers: 2}
	v := p.decide(update(said...), verdict{listed: service.SetOf(old...)})
	l := Look{Policy: p, Update: update(said...), Origin: v.origin, Listed: v.listed, Serving: v.serving}
	s := l.Standings()
	if len(s) != 3 || s[0].From != "discovery" || !strings.Contains(s[1].From, "earlier answer") || !s[1].Serves {
		t.Errorf("%+v", s)
	}
	p = Policy{LeaderElection: true}
	v = p.decide(update(old...), verdict{})
	l = Look{Policy: p, Update: update(old...), Origin: v.origin, Listed: v.listed, Serving: v.serving}
	if s := l.Standings(); !s[0].Serves || !strings.Contains(s[1].Reason, "leader_election: 10.0.0.1:80 leads") {
		t.Errorf("%+v", s)
	}
}
