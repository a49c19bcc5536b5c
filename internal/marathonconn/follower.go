package marathonconn

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"smartstack/internal/httpconn"
)

// maxFlying bounds the reads under way at one time.
const maxFlying = 8

// follower reads the apps of one Marathon for all its subscriptions. What is
// in it belongs to its goroutine, but for users.
type follower struct {
	target   Target
	dial     httpconn.Dialer
	log      *slog.Logger
	users    int // the pool's
	commands chan command
	stop     context.CancelFunc
	done     chan struct{}

	client  *client // nil = not made yet
	apps    map[Query]*app
	reads   uint64 // begun
	flying  int
	results chan result
	down    bool      // a read failed since the last good one
	good    time.Time // when the last good one ended

	stream *stream // nil = nobody wants events
	news   chan news
	live   bool // events arrive
	told   bool // somebody was told that there is no stream
	met    bool // there was a stream before
}

// app is one app that is read.
type app struct {
	query Query
	subs  map[*Subscription]struct{}
	pace  Pace // the shortest of all subs

	due        time.Time // of the next read; zero = at once
	started    time.Time // the last read
	flying     bool      // it is under way
	number     uint64    // its number
	again      time.Time // an event came while flying: read once more, not before this
	settle     time.Time // read once more then, because of an event
	noticed    time.Time // the event that the next read follows; zero = none
	followed   bool      // a read has followed it, but maybe not its state
	reading    time.Time // the event that the read under way follows
	failures   int       // in a row
	since      time.Time // of the first of them
	named      bool      // the log has said that it fails
	terminated bool      // an event said so
	answer     *Answer   // the newest; nil = none yet
	fault      error     // nil = the last read went well
}

// result is how a read ended.
type result struct {
	app    *app
	client *client
	answer *Answer
	err    error
}

func startFollower(t Target, dial httpconn.Dialer, log *slog.Logger) *follower {
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{
		target: t, dial: dial, log: log.With("watcher", "marathon", "marathon", t.String()), stop: stop,
		commands: make(chan command), done: make(chan struct{}), apps: map[Query]*app{},
		results: make(chan result), news: make(chan news, 64),
	}
	go f.run(ctx)
	return f
}

func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	defer f.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := true
		select {
		case <-ctx.Done():
			return
		case c := <-f.commands:
			f.obey(c)
			f.wantStream(ctx)
		case r := <-f.results:
			f.flying--
			f.finish(r, time.Now())
		case n := <-f.news:
			changed = f.hear(n, time.Now())
		case <-timer.C:
		}
		if changed {
			f.begin(ctx, timer)
		}
	}
}

// end waits for what is under way, which ctx has ended.
func (f *follower) end() {
	f.stream.close()
	for ; f.flying > 0; f.flying-- {
		<-f.results
	}
	if f.client != nil {
		f.client.Close()
	}
}

// obey carries out a command.
func (f *follower) obey(c command) {
	a := f.apps[c.sub.query]
	switch {
	case c.remove:
		delete(a.subs, c.sub)
		if a.settlePace(); len(a.subs) == 0 {
			delete(f.apps, a.query)
		}
		return
	case c.refresh:
		a.soon(time.Now(), 0)
		return
	case a == nil:
		a = &app{query: c.sub.query, subs: map[*Subscription]struct{}{}}
		f.apps[a.query] = a
	}
	a.subs[c.sub] = struct{}{}
	a.settlePace()
	if a.number > 0 && a.failures == 0 { // it may want more than those before
		a.due = earlier(a.due, a.started.Add(jittered(a.pace.interval(f.live), httpconn.Roll())))
	}
	if c.afresh {
		c.sub.from = f.reads + 1
		a.soon(time.Now(), 0)
	}
	a.tell(c.sub)
}

// wantStream starts or ends the event stream.
func (f *follower) wantStream(ctx context.Context) {
	silent, wanted := time.Duration(0), false
	for _, a := range f.apps {
		if !a.pace.Poll && (!wanted || a.pace.Silent < silent) {
			silent, wanted = a.pace.Silent, true
		}
	}
	switch {
	case wanted && f.stream == nil:
		f.stream = startStream(ctx, f.target, f.dial, silent, f.news)
	case wanted:
		f.stream.silent.Store(int64(silent)) // from the next byte on
	case f.stream != nil:
		f.stream.close()
		f.stream, f.live, f.told = nil, false, false
	}
}

// begin starts the reads that are due, the longest due first, and sets timer
// to the next one.
func (f *follower) begin(ctx context.Context, timer *time.Timer) {
	now := time.Now()
	for {
		var next *app
		for _, a := range f.apps {
			if !a.flying && (next == nil || a.due.Before(next.due)) {
				next = a
			}
		}
		switch {
		case next == nil || f.flying >= maxFlying:
			timer.Stop() // a result will wake us
			return
		case next.due.After(now):
			timer.Reset(time.Until(next.due))
			return
		}
		f.read(ctx, next, now)
	}
}

// read starts a read beside the follower, which so can serve others meanwhile.
func (f *follower) read(ctx context.Context, a *app, now time.Time) {
	f.reads++
	f.flying++
	a.flying, a.started, a.number = true, now, f.reads
	a.reading, a.followed = a.noticed, true
	if !now.Before(a.settle) {
		a.noticed = time.Time{}
	}
	target, dial, c, q := f.target, f.dial, f.client, a.query
	go func() {
		r := result{app: a, client: c}
		defer func() {
			if p := recover(); p != nil { // foreign bytes must not end the program
				r.err = fmt.Errorf("reading %s: panic: %v\n%s", q.App, p, debug.Stack())
			}
			f.results <- r
		}()
		if r.client == nil {
			if r.client, r.err = newClient(target, dial); r.err != nil {
				return
			}
		}
		r.answer, r.err = r.client.read(ctx, q)
	}()
}

// finish takes the result of a read to the subscriptions.
func (f *follower) finish(r result, now time.Time) {
	switch {
	case r.client == nil || r.client == f.client:
	case f.client == nil:
		f.client = r.client
	default: // two were made at the same time
		r.client.Close()
	}
	a := r.app
	a.flying = false
	if r.err != nil {
		f.failed(a, r.err, now)
	} else {
		f.succeeded(a, r.answer, now)
	}
	a.again = time.Time{}
	for s := range a.subs {
		a.tell(s)
	}
}

// failed takes note of a failure. When all apps fail, one of them stands for
// all in the log.
func (f *follower) failed(a *app, err error, now time.Time) {
	if a.fault == nil {
		a.since = now
	}
	a.failures++
	a.fault = err
	a.due = now.Add(httpconn.Backoff(a.failures, refused(err), httpconn.Roll()))
	if !a.named && !f.down {
		f.log.Warn("Marathon cannot be read: its services stay as they are while it is tried again", "app", a.query.App, "err", err)
		a.named = true
	}
	f.down = true
}

func (f *follower) succeeded(a *app, answer *Answer, now time.Time) {
	if a.named {
		f.log.Info("Marathon answers again", "app", a.query.App)
		a.named = false
	}
	if f.down {
		f.hurry(now)
		f.down = false
	}
	f.good = now
	answer.number, answer.Noticed = a.number, a.reading
	if answer.Missing {
		answer.Terminated = a.terminated
	} else {
		a.terminated = false
	}
	a.answer, a.fault, a.failures = answer, nil, 0
	a.due = now.Add(jittered(a.pace.interval(f.live && !answer.Missing), httpconn.Roll()))
	if !a.again.IsZero() {
		a.soon(a.again, 0)
	}
	if a.settle.After(a.started) {
		a.due = earlier(a.due, a.settle)
	}
}

// hurry brings forward the reads that wait after a failure, at the first good
// read since they failed: who fails while others are well has a reason of its
// own, as has who is refused.
func (f *follower) hurry(now time.Time) {
	for _, a := range f.apps {
		if a.failures > 1 && f.good.Before(a.since) && !refused(a.fault) {
			a.failures = 1
			a.due = earlier(a.due, now.Add(httpconn.Backoff(1, false, httpconn.Roll())))
		}
	}
}

// soon asks for a read at the given time, but no sooner than events allow, and
// never before the pause after a failure is over. delay is added to what is
// due.
func (a *app) soon(at time.Time, delay time.Duration) {
	at = at.Add(delay)
	if first := a.started.Add(quiet); at.Before(first) {
		at = first
	}
	switch {
	case a.flying:
		a.again = at
	case a.failures == 0:
		a.due = earlier(a.due, at)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// settlePace takes the shortest of what the subscriptions want.
func (a *app) settlePace() {
	first := true
	for s := range a.subs {
		if first {
			a.pace, first = s.pace, false
			continue
		}
		a.pace.Poll = a.pace.Poll && s.pace.Poll
		a.pace.Check = min(a.pace.Check, s.pace.Check)
		a.pace.Resync = min(a.pace.Resync, s.pace.Resync)
		a.pace.Silent = min(a.pace.Silent, s.pace.Silent)
	}
}

// tell says to one subscription what is known, if it may serve it.
func (a *app) tell(s *Subscription) {
	switch {
	case a.answer != nil && a.answer.number >= s.from:
		s.SetFault(a.fault)
		if a.fault == nil {
			s.Deliver(a.answer)
		}
	case a.fault != nil:
		s.SetFault(a.fault)
	}
}
