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

// An event may overtake the state that it tells of: the app is read once more a
// second after its last event.
func TestEventBeforeItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := marathonsim.New()
		dial, stop := pipenet.Serve(sim)
		defer stop()
		sim.Set(appOf("/web", "h1"))
		pool := NewPoolOver(quietPool().log, dial)
		s := pool.Subscribe(target(t, Access{}, "http://marathon:8080"), Query{App: "/web"}, Pace{Check: time.Hour, Resync: time.Hour, Silent: time.Hour}, false)
		defer s.Close()
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
