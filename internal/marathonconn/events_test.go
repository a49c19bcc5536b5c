package marathonconn

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/test/marathonsim"
	"smartstack/test/pipenet"
)

// onWeb follows the app /web, of one task, by its events alone.
func onWeb(t *testing.T) (sim *marathonsim.Sim, s *Subscription, end func()) {
	t.Helper()
	sim = marathonsim.New()
	dial, stop := pipenet.Serve(sim)
	sim.Set(appOf("/web", "h1"))
	pool := NewPoolOver(quietPool().log, dial)
	s = pool.Subscribe(target(t, Access{}, "http://marathon:8080"), Query{App: "/web"}, Pace{Check: time.Hour, Resync: time.Hour, Silent: time.Hour}, false)
	return sim, s, func() { s.Close(); stop() }
}

// An event may overtake the state that it tells of: the app is read once more a
// second after its last event.
func TestEventBeforeItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, s, end := onWeb(t)
		defer end()
		<-time.After(10 * time.Second)
		s.Take()
		reads := sim.Reads("/web")
		for range 3 { // one of a deployment's many
			sim.Changed("/web")
			<-time.After(300 * time.Millisecond)
		}
		if a, ok := s.Take(); ok && !tasks(1)(a) {
			t.Fatalf("%+v", a)
		}
		sim.Set(appOf("/web", "h1", "h2")) // half a second after the last event of it
		<-time.After(2 * time.Second)
		if a, ok := s.Take(); !ok || !tasks(2)(a) {
			t.Errorf("the state came after its event, and was not read: %+v", a)
		}
		<-time.After(time.Minute)
		if n := sim.Reads("/web") - reads; n > 5 {
			t.Errorf("three events made %d reads", n)
		}
	})
}

// An answer tells which event it follows: the first that no read has followed
// yet, or the last one of those, as long as its state may be on the way.
func TestAnswerTellsItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, s, end := onWeb(t)
		defer end()
		now := time.Now()
		at := func(d time.Duration) time.Time { // synctest's clock stands still in between
			<-time.After(time.Until(now.Add(d)))
			return time.Now()
		}
		noticed := func() time.Time {
			t.Helper()
			synctest.Wait()
			a, ok := s.Take()
			if !ok {
				t.Fatal("nothing was read")
			}
			return a.Noticed
		}
		at(10 * time.Second)
		if got := noticed(); !got.IsZero() {
			t.Errorf("before any event: %v", got)
		}
		first := at(20 * time.Second)
		sim.Changed("/web")
		if got := noticed(); !got.Equal(first) {
			t.Errorf("the event came at %v, and its read tells %v", first, got)
		}
		second := at(20*time.Second + quiet/2) // too soon for a read
		sim.Changed("/web")
		at(20*time.Second + quiet*3/4)
		sim.Changed("/web")
		at(20*time.Second + quiet + time.Millisecond)
		if got := noticed(); !got.Equal(second) {
			t.Errorf("the first of two events came at %v, and their read tells %v", second, got)
		}
		at(25 * time.Second)
		if got := noticed(); !got.Equal(second) {
			t.Errorf("the state may come after its event, of %v, and the read for that tells %v", second, got)
		}
		at(3 * time.Hour)
		if got := noticed(); !got.IsZero() {
			t.Errorf("long after the events: %v", got)
		}
	})
}

// A standby that closes every stream at once is asked with restraint, and apps
// are read on meanwhile.
func TestStreamsThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := marathonsim.New()
		dial, stop := pipenet.Serve(sim)
		defer stop()
		var asked atomic.Int64
		sim.InsteadOfStream(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			marathonsim.CloseAtOnce(w, r)
		})
		sim.Set(appOf("/web", "h1"))
		pool := NewPoolOver(quietPool().log, dial)
		s := pool.Subscribe(target(t, Access{}, "http://marathon:8080"), Query{App: "/web"}, Pace{}, false)
		defer s.Close()
		<-time.After(10 * time.Minute)
		if n := asked.Load(); n < 10 || n > 60 {
			t.Errorf("%d streams in ten minutes", n)
		}
		if n := sim.Reads("/web"); n < 20 || n > 200 {
			t.Errorf("%d reads in ten minutes", n)
		}
		sim.Set(appOf("/web", "h1", "h2"))
		<-time.After(time.Minute)
		if a, ok := s.Take(); !ok || !tasks(2)(a) {
			t.Errorf("%+v", a)
		}
		sim.InsteadOfStream(nil) // the election is over
		<-time.After(time.Minute)
		if open, _ := sim.Streams(); open != 1 {
			t.Errorf("%d streams", open)
		}
	})
}

// The shortest silence that a subscription allows counts, also one that came
// later.
func TestShortestSilenceCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := marathonsim.New()
		dial, stop := pipenet.Serve(sim)
		defer stop()
		pool, to := NewPoolOver(quietPool().log, dial), target(t, Access{}, "http://marathon:8080")
		defer pool.Subscribe(to, Query{App: "/one"}, Pace{Silent: time.Hour}, false).Close()
		<-time.After(time.Second)
		defer pool.Subscribe(to, Query{App: "/two"}, Pace{Silent: 20 * time.Second}, false).Close()
		<-time.After(time.Second)
		sim.Heartbeat()
		<-time.After(time.Minute)
		if _, ever := sim.Streams(); ever < 3 || ever > 5 {
			t.Errorf("%d streams in a minute of silence", ever)
		}
	})
}
