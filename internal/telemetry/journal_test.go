package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestARepeatedWarningIsCountedNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := NewLog(&out, false, Text)
		if err != nil {
			t.Fatal(err)
		}
		web := l.Logger.With("service", "web")
		for i := range 5 {
			web.Warn("no answer", "err", errors.New("refused"), "retry", time.Duration(i))
			time.Sleep(time.Second) //nolint:forbidigo // simulated time
		}
		web.Warn("no answer", "err", errors.New("reset"))
		l.Logger.Warn("no answer", "service", "db", "err", errors.New("refused"))
		if n := strings.Count(out.String(), "\n"); n != 4 || !strings.Contains(out.String(), "err=refused retry=4ns repeated=4\n") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
		events := l.Journal.Since(0)
		if len(events) != 3 || events[0].Count != 5 || events[0].Service != "web" || events[0].Last.Sub(events[0].Time) != 4*time.Second {
			t.Errorf("%+v", events)
		}
		if got := l.Journal.Tallies(); len(got) != 1 || got[0].Count != 7 || got[0].Level != "warn" {
			t.Errorf("%+v", got)
		}
	})
}

// Whoever only follows learns the count as well, even when nothing else comes.
func TestACountIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := NewLog(&out, false, Text)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			l.Logger.Warn("no answer")
		}
		followed := l.Journal.Newest()
		list, err := l.Journal.Next(t.Context(), followed)
		synctest.Wait()
		if err != nil || len(list) != 1 || list[0].Seq != 1 || list[0].Count != 3 || list[0].Number() <= followed {
			t.Errorf("%+v, %v", list, err)
		}
		if !strings.Contains(out.String(), "repeated=2") {
			t.Errorf("%s", out.String())
		}
		l.Logger.Warn("no answer") // still the same
		time.Sleep(3 * quiet)      //nolint:forbidigo // simulated time
		l.Logger.Warn("no answer") // after a silence
		if events := l.Journal.Since(0); len(events) != 2 || events[0].Count != 4 || events[1].Count != 1 || l.repeats.timer != nil {
			t.Errorf("%+v", events)
		}
	})
}

// The last word about a service is the last of its events, however short the
// time between them.
func TestWhatComesBackIsNoRepetition(t *testing.T) {
	var out bytes.Buffer
	l, err := NewLog(&out, false, Text)
	if err != nil {
		t.Fatal(err)
	}
	web, db := l.Logger.With("service", "web"), l.Logger.With("service", "db")
	web.Warn("service is down")
	web.Info("service is up")
	db.Warn("service is down")
	web.Warn("service is down")
	web.Warn("service is degraded")
	web.Warn("service is down")
	db.Warn("service is down") // this one did not change
	l.Logger.Error("reload failed")
	l.Logger.Info("reload works again")
	l.Logger.Error("reload failed")
	var got []string
	for _, e := range l.Journal.Since(0) {
		got = append(got, e.Service+" "+strings.TrimPrefix(e.Message, "service is "))
	}
	want := []string{"web down", "web up", "db down", "web down", "web degraded", "web down", " reload failed", " reload works again", " reload failed"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestALocalPortMakesNoDifference(t *testing.T) {
	l, _ := NewLog(&bytes.Buffer{}, false, Text)
	for _, port := range []string{"41234", "41235"} {
		l.Logger.Warn("no answer", "err", errors.New("read tcp [::1]:"+port+"->[::1]:80: reset"))
	}
	l.Logger.Warn("no answer", "err", errors.New("read tcp [::1]:41236->[::1]:81: reset"))
	if events := l.Journal.Since(0); len(events) != 2 || events[0].Count != 2 {
		t.Errorf("%+v", events)
	}
}

func TestInfoIsNeverLeftOutAndDebugIsNoEvent(t *testing.T) {
	var out bytes.Buffer
	l, _ := NewLog(&out, false, JSON)
	l.Logger.Info("twice")
	l.Logger.Info("twice")
	l.Logger.Debug("detail")
	if l.Toggle() != slog.LevelDebug {
		t.Error("not at debug")
	}
	l.Logger.Debug("detail")
	if got := out.String(); strings.Count(got, "twice") != 2 || strings.Count(got, "detail") != 1 || len(l.Journal.Since(0)) != 2 {
		t.Errorf("%s", got)
	}
	l.Level.Set(slog.LevelError)
	l.Logger.Info("quiet")
	if strings.Contains(out.String(), "quiet") || len(l.Journal.Since(2)) != 1 {
		t.Error("the level of lines decides about events, or the other way round")
	}
}

func TestEventsHoldBoundedJSON(t *testing.T) {
	l, _ := NewLog(&bytes.Buffer{}, false, JSON)
	l.Logger.With("service", "<script>").WithGroup("g").With("a", "\xff").Warn("m", "n", 3, "t", true, "d", time.Second, "long", strings.Repeat("ü", maxValue), "err", errors.New(`a"b`))
	e := l.Journal.Since(0)[0]
	want := `{"g.a":"\ufffd","g.n":3,"g.t":true,"g.d":"1s","g.long":"`
	if e.Service != "<script>" || len(e.Fields) > 3*maxValue || !strings.HasPrefix(string(e.Fields), want) || !strings.HasSuffix(string(e.Fields), `"g.err":"a\"b"}`) {
		t.Errorf("%+v\n%s\nwant %s", e, e.Fields, want)
	}
}

func TestTheJournalIsARing(t *testing.T) {
	j := NewJournal()
	for range maxEvents + 10 {
		j.add(Event{Message: "m"})
	}
	all := j.Since(0)
	if len(all) != maxEvents || all[0].Seq != 11 || all[maxEvents-1].Seq != maxEvents+10 {
		t.Errorf("%d events from %d", len(all), all[0].Seq)
	}
	if got := j.Since(maxEvents + 8); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	if got := j.Since(maxEvents + 11); len(got) != maxEvents {
		t.Errorf("a number of an earlier run: %d events", len(got))
	}
	if !j.repeat(11, "", "m", time.Now()) || j.repeat(10, "", "m", time.Now()) {
		t.Error("counts what is gone, or not what is there")
	}
	if got := j.Since(0)[0].Count; got != 2 {
		t.Errorf("counted %d", got)
	}
	for i := range 2 * maxMessages {
		j.add(Event{Message: strings.Repeat("x", i)})
	}
	if n := len(j.Tallies()); n > maxMessages+1 {
		t.Errorf("%d messages are counted", n)
	}
}

func TestNextWaitsForNews(t *testing.T) {
	j := NewJournal()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan []Event)
	go func() {
		list, _ := j.Next(ctx, 0)
		got <- list
		_, _ = j.Next(ctx, 1)
		got <- nil
	}()
	j.add(Event{Message: "m"})
	if list := <-got; len(list) != 1 || list[0].Seq != 1 {
		t.Errorf("%+v", list)
	}
	cancel()
	<-got
}
