package marathonconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"smartstack/internal/httpconn"
)

// news is what a stream tells its follower.
type news struct {
	live  time.Time // not zero: events arrive, those since then will have been told
	lost  error     // not nil: there is no stream
	retry time.Duration
	what  scope
	app   string
}

// stream is the event stream of one Marathon, opened again and again.
type stream struct {
	target Target
	dial   httpconn.Dialer
	silent atomic.Int64 // time.Duration; the follower's to set
	news   chan<- news
	stop   context.CancelFunc
	done   chan struct{}
}

func startStream(ctx context.Context, t Target, dial httpconn.Dialer, silent time.Duration, to chan<- news) *stream {
	ctx, stop := context.WithCancel(ctx)
	s := &stream{target: t, dial: dial, news: to, stop: stop, done: make(chan struct{})}
	s.silent.Store(int64(silent))
	go s.run(ctx)
	return s
}

// close ends the stream and waits for its goroutine; nil is closed already.
func (s *stream) close() {
	if s != nil {
		s.stop()
		<-s.done
	}
}

func (s *stream) run(ctx context.Context) {
	defer close(s.done)
	endpoints := s.target.list()
	for at, failures := 0, 0; ; at++ {
		began := time.Now()
		err := s.once(ctx, endpoints[at%len(endpoints)])
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > steady { // a standby closes new streams at once
			failures = 0
		}
		failures++
		pause := httpconn.Backoff((failures+len(endpoints)-1)/len(endpoints), refused(err), httpconn.Roll())
		if code := status(err); code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusNotAcceptable {
			pause = jittered(noStream, httpconn.Roll())
			if failures < len(endpoints) {
				pause = 0 // another one may have it
			}
		}
		s.send(ctx, news{lost: err, retry: pause})
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *stream) send(ctx context.Context, n news) {
	select {
	case s.news <- n:
	case <-ctx.Done():
	}
}

// patience is how long the stream may be silent.
func (s *stream) patience() time.Duration { return time.Duration(s.silent.Load()) }

// once follows the stream of one endpoint until it breaks.
func (s *stream) once(parent context.Context, endpoint string) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	c, err := newClient(s.target, s.dial)
	if err != nil {
		return err
	}
	defer c.Close()
	header := time.AfterFunc(requestLimit, func() { cancel(errors.New("no answer in time")) })
	defer header.Stop()
	res, err := c.open(ctx, endpoint+"/v2/events?"+url.Values{"event_type": kinds}.Encode()+"&plan-format=light", mediaStream)
	if err != nil {
		return s.explain(ctx, endpoint, err)
	}
	defer res.Body.Close()
	header.Stop()
	silence := time.AfterFunc(s.patience(), func() {
		cancel(fmt.Errorf("nothing was heard for %v, not even a heartbeat", s.patience()))
	})
	defer silence.Stop()
	since, heard := time.Now(), false
	events := newEventReader(awake{res.Body, silence, s.patience}, func() {
		if !heard {
			heard = true
			s.send(ctx, news{live: since})
		}
	})
	for {
		e, err := events.next()
		if err != nil {
			return s.explain(ctx, endpoint, err)
		}
		if what, app := about(e); what != nothing {
			s.send(ctx, news{what: what, app: app})
		}
	}
}

// explain prefers the reason for which we ended the stream ourselves.
func (s *stream) explain(ctx context.Context, endpoint string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if _, ok := errors.AsType[*Fault](err); ok {
		return err
	}
	return &Fault{Call: "GET " + endpoint + "/v2/events", Err: err}
}

// awake puts off the end of a silent stream whenever a byte arrives.
type awake struct {
	in      io.Reader
	silence *time.Timer
	limit   func() time.Duration
}

func (a awake) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	if n > 0 {
		a.silence.Reset(a.limit())
	}
	return n, err
}

// hear takes the news of the stream, and reports whether reads are due now.
func (f *follower) hear(n news, now time.Time) bool {
	switch {
	case f.stream == nil: // it was closed with this in its channel
		return false
	case n.lost != nil:
		if !f.told {
			f.log.Warn("no event stream: apps are polled until there is one", "err", n.lost, "retry", n.retry.Round(time.Millisecond))
			f.told = true
		}
		if f.live {
			f.live = false
			f.poll(now)
		}
		return true
	case !n.live.IsZero():
		f.attached(n.live, now)
		return true
	case n.what == everything:
		for _, a := range f.apps {
			a.event(now)
		}
		return true
	}
	return f.changed(n, now)
}

// changed takes an event about one app.
func (f *follower) changed(n news, now time.Time) bool {
	ours := false
	for q, a := range f.apps {
		if q.matches(n.app) {
			ours = true
			a.terminated = a.terminated || n.what == terminated
			a.event(now)
		}
	}
	return ours
}

// event asks for a read now, and for another a moment later.
func (a *app) event(now time.Time) {
	a.soon(now, 0)
	a.settle = now.Add(settle)
	if a.noticed.IsZero() || a.followed {
		a.noticed, a.followed = now, false
	}
}

// attached reads everything whose last read began before the stream did.
func (f *follower) attached(since, now time.Time) {
	f.live = true
	if f.told {
		f.log.Info("the event stream is there")
		f.told = false
	}
	for _, a := range f.apps {
		if refused(a.fault) {
			continue // a new stream is no reason to let it in
		}
		failing := a.failures > 0
		a.failures = 0 // Marathon answers: no need to wait longer
		if failing || !a.started.After(since) {
			var delay time.Duration
			if f.met {
				delay = time.Duration(httpconn.Roll() * float64(spread))
			}
			a.soon(now, delay)
		}
	}
	f.met = true
}

// poll brings reads forward to the pace without events.
func (f *follower) poll(now time.Time) {
	for _, a := range f.apps {
		if !a.flying && a.failures == 0 {
			a.due = earlier(a.due, now.Add(jittered(a.pace.Check, httpconn.Roll())))
		}
	}
}
