package nerve

import (
	"context"
	"log/slog"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/service"
)

func TestHealth(t *testing.T) {
	for _, tc := range []struct {
		name          string
		rise, fall    int
		results, want string // + up, - down, o and p degraded
	}{
		{"plain", 1, 1, "+-+-", "+-+-"},
		{"the first success decides at once", 3, 3, "+", "+"},
		{"the first failure decides at once", 3, 3, "-", "-"},
		{"down after fall failures in a row", 1, 3, "+--+---", "+++++" + "+-"},
		{"up after rise successes in a row", 3, 1, "-++-+++", "-----" + "-+"},
		{"a success in between starts afresh", 2, 2, "+-+-+--", "++++++-"},
		{"the history is full of the first result", 2, 3, "-+-++", "----+"},
		{"degraded at once", 3, 3, "o", "o"},
		{"degraded after fall, and back after rise", 2, 2, "+oo++", "++oo+"},
		{"a failure is not whole either", 2, 2, "+-o-+-+-", "++ooo" + "ooo"},
		{"from degraded down and back", 1, 2, "o--o+", "oo-o+"},
		{"down is no matter of degrees", 2, 2, "-op+", "--pp"},
		{"how degraded is told by the newest", 1, 3, "opo-p", "opoop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHealth(Check{Rise: tc.rise, Fall: tc.fall})
			got := ""
			for _, r := range tc.results {
				switch h.see(map[rune]error{'+': nil, '-': errSick, 'o': service.Degraded{Weight: 40}, 'p': service.Degraded{Weight: 60}}[r]) {
				case whole:
					got += "+"
				case 40:
					got += "o"
				case 60:
					got += "p"
				case dead:
					got += "-"
				}
			}
			if got != tc.want {
				t.Errorf("%s gives %s, want %s", tc.results, got, tc.want)
			}
		})
	}
}

func TestBucket(t *testing.T) {
	inf := math.Inf(1)
	for _, tc := range []struct {
		name  string
		limit Limit
		at    []float64 // seconds of the attempts
		want  string
	}{
		{"no limit", Limit{}, []float64{0, 0, 0, 0}, "++++"},
		{"starts full", Limit{On: true, Rate: 0.1, Burst: 2}, []float64{0, 0, 0}, "++-"},
		{"fills again", Limit{On: true, Rate: 0.5, Burst: 1}, []float64{0, 1, 2, 3, 4}, "+-+-+"},
		{"never more than the burst", Limit{On: true, Rate: 1, Burst: 2}, []float64{0, 100, 100, 100}, "+++-"},
		{"rate alone", Limit{On: true, Rate: 0.1, Burst: inf}, []float64{0, 0, 10.001, 10.002}, "+-+-"},
		{"burst alone", Limit{On: true, Rate: inf, Burst: 1}, []float64{0, 0, 0}, "+++"},
		{"rate 0 never fills", Limit{On: true, Rate: 0, Burst: 1}, []float64{0, 1e6}, "+-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			b, got := newBucket(tc.limit, start), ""
			for _, at := range tc.at {
				if b.take(start.Add(time.Duration(at * float64(time.Second)))) {
					got += "+"
				} else {
					got += "-"
				}
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPace(t *testing.T) {
	epoch := time.Now()
	for _, interval := range []time.Duration{time.Millisecond, 33 * time.Millisecond, 500 * time.Millisecond, 7 * time.Second} {
		p := newPace(epoch, epoch.Add(3*time.Second), interval)
		at := p.first()
		if wait := at.Sub(epoch.Add(3 * time.Second)); wait < 0 || wait > min(interval, soon)+slot {
			t.Errorf("%v: first round after %v", interval, wait)
		}
		first := at
		for n := range 1000 {
			next := p.next(at)
			if d := next.Sub(at); d <= 0 || d > interval+slot {
				t.Fatalf("%v: round %d after %v", interval, n, d)
			}
			at = next
		}
		if drift := at.Sub(first) - 1000*interval; drift < -slot || drift > slot {
			t.Errorf("%v: drifted by %v in 1000 rounds", interval, drift)
		}
		late := at.Add(5*interval + interval/2)
		if next := p.next(late); !next.After(late) || next.Sub(late) > interval+slot {
			t.Errorf("%v: a late round is followed after %v", interval, next.Sub(late))
		}
	}
}

func TestPacesAreSpread(t *testing.T) {
	epoch := time.Now()
	slots := map[time.Duration]int{}
	for range 1000 {
		slots[newPace(epoch, epoch, 500*time.Millisecond).first().Sub(epoch)]++
	}
	for at, n := range slots {
		if at%slot != 0 || n > 100 {
			t.Errorf("%d of 1000 services begin at %v", n, at)
		}
	}
}

// wordy is a check that has something to say.
type wordy struct{ fakeCheck }

func (*wordy) Detail() string { return "exit status 0: load 0.5" }

func TestStatusShowsWhatChecksSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := &wordy{}
		w := run(t, Config{Services: []Service{svc("web", "", check, &fakeRegistry{})}})
		after(time.Second)
		if c := w.status("web").Checks[0]; c.Result != "ok" || c.Detail != "exit status 0: load 0.5" {
			t.Errorf("%+v", c)
		}
		check.set(func(c *fakeCheck) { c.err = errSick })
		after(time.Second)
		if c := w.status("web").Checks[0]; c.Result != "sick" || c.Detail != "" {
			t.Errorf("%+v", c)
		}
		_ = w.stop()
	})
}

// A thought that changes nothing costs no memory: there is one for every check.
func TestThoughtsCostNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg, seat := &fakeRegistry{}, &seat{gate: &gate{}, queue: &queue{epoch: time.Now()}, crew: newCrew()}
		ctx, cancel := context.WithCancel(t.Context())
		u := start(ctx, svc("web", "", &fakeCheck{}, reg), seat, slog.New(slog.DiscardHandler))
		close(u.begin)
		after(2 * time.Second)
		u.think() // wakes the desks, if that is due
		synctest.Wait()
		if n := testing.AllocsPerRun(10, func() { u.probes[0].newest.Store(&u.probes[0].fine); u.think() }); n > 0 {
			t.Errorf("%v objects", n)
		}
		cancel()
		<-u.gone
		seat.crew.dismiss()
	})
}
