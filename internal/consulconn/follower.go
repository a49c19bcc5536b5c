package consulconn

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"time"

	"smartstack/internal/httpconn"
)

// follower keeps the queries to one Consul open for all their subscriptions.
// What is in it belongs to its goroutine, but for users.
type follower struct {
	target   Target
	open     func() (*client, error)
	log      *slog.Logger
	users    int // the pool's
	commands chan command
	stop     context.CancelFunc
	done     chan struct{}
	seed     maphash.Seed

	client  *client // nil = not made yet
	watches map[Query]*watch
	reads   uint64 // begun
	flying  int
	most    int // reads at one time
	results chan result
	down    bool      // a read failed since the last good one
	good    time.Time // when the last good one ended
}

// result is how a read ended.
type result struct {
	watch  *watch
	client *client
	page   *page
	answer *Answer
	digest uint64
	err    error
}

func startFollower(t Target, dial httpconn.Dialer, log *slog.Logger) *follower {
	ctx, stop := context.WithCancel(context.Background())
	f := &follower{
		target: t, open: func() (*client, error) { return newClient(t, dial) }, log: log.With("watcher", "consul", "consul", t.String()), stop: stop,
		commands: make(chan command), done: make(chan struct{}), seed: maphash.MakeSeed(),
		watches: map[Query]*watch{}, results: make(chan result), most: t.access.MaxConnections,
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
		select {
		case <-ctx.Done():
			return
		case c := <-f.commands:
			f.obey(c)
		case r := <-f.results:
			f.flying--
			f.finish(r, time.Now())
		case <-timer.C:
		}
		f.begin(ctx, timer)
	}
}

// end waits for what is under way, which ctx has ended.
func (f *follower) end() {
	for ; f.flying > 0; f.flying-- {
		<-f.results
	}
	if f.client != nil {
		f.client.Close()
	}
}

// obey carries out a command.
func (f *follower) obey(c command) {
	w := f.watches[c.sub.query]
	if c.remove {
		delete(w.subs, c.sub)
		if len(w.subs) == 0 {
			delete(f.watches, w.query)
			w.interrupt()
		}
		return
	}
	if w == nil {
		w = &watch{query: c.sub.query, subs: map[*Subscription]struct{}{}}
		f.watches[w.query] = w
	}
	w.subs[c.sub] = struct{}{}
	if c.afresh {
		c.sub.from = f.reads + 1
		w.anew()
	}
	w.tell(c.sub)
}

// begin starts the reads that are due, the longest due first, and sets timer
// to the next one.
func (f *follower) begin(ctx context.Context, timer *time.Timer) {
	now := time.Now()
	for {
		var next *watch
		for _, w := range f.watches {
			if !w.flying && (next == nil || w.due.Before(next.due)) {
				next = w
			}
		}
		switch {
		case next == nil || f.flying >= f.most || f.flying > 0 && f.client == nil:
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
func (f *follower) read(ctx context.Context, w *watch, now time.Time) {
	f.reads++
	f.flying++
	ctx, w.cancel = context.WithCancel(ctx)
	w.wait = w.longest()
	if len(f.watches) > f.most { // nobody may hold a connection for long
		w.wait = min(w.wait, turn)
	}
	w.flying, w.started, w.number = true, now, f.reads
	open, c, q, index, wait, leader, cancel := f.open, f.client, w.query, w.index, w.wait, w.leader, w.cancel
	go func() {
		r := result{watch: w, client: c}
		defer func() {
			if p := recover(); p != nil { // foreign bytes must not end the program
				r.err = fmt.Errorf("reading %s: panic: %v\n%s", q.path(), p, debug.Stack())
			}
			cancel()
			f.results <- r
		}()
		if r.client == nil {
			if r.client, r.err = open(); r.err != nil {
				return
			}
		}
		if r.page, r.err = r.client.read(ctx, q, index, wait, leader); r.err != nil {
			return
		}
		if r.answer, r.err = decode(r.page, q); r.err != nil {
			r.err = &Fault{Call: "GET " + q.path(), Err: r.err}
			return
		}
		r.digest = maphash.Bytes(f.seed, r.page.body)
		r.page.body = nil
	}()
}

// finish takes the result of a read to the subscriptions.
func (f *follower) finish(r result, now time.Time) {
	f.client = r.client // made by the first read, before any other began
	w := r.watch
	w.flying = false
	if f.watches[w.query] != w {
		return // nobody wants it any more
	}
	if w.interrupted {
		w.interrupted, w.due = false, now
		return
	}
	if r.err == nil {
		r.err = w.take(r, now)
	}
	if r.err != nil {
		f.failed(w, r.err, now)
	} else {
		f.succeeded(w, now)
	}
	for s := range w.subs {
		w.tell(s)
	}
}

// failed takes note of a failure. When all queries fail, one of them stands for
// all in the log.
func (f *follower) failed(w *watch, err error, now time.Time) {
	w.failed(err, now)
	if !w.named && !f.down {
		f.log.Warn("Consul cannot be read: its services stay as they are while it is tried again", "query", w.query.path(), "err", err)
		w.named = true
	}
	f.down = true
}

func (f *follower) succeeded(w *watch, now time.Time) {
	if w.named {
		f.log.Info("Consul answers again", "query", w.query.path())
		w.named = false
	}
	if f.down {
		f.hurry(now)
		f.down = false
	}
	f.good = now
}

// hurry brings forward the reads that wait after a failure, at the first good
// read since they failed: who fails while others are well has a reason of its
// own, as has who is refused.
func (f *follower) hurry(now time.Time) {
	for _, w := range f.watches {
		if w.failures > 1 && !w.flying && f.good.Before(w.since) && !refused(w.fault) {
			w.failures = 1
			if soon := now.Add(httpconn.Backoff(1, false, httpconn.Roll())); soon.Before(w.due) {
				w.due = soon
			}
		}
	}
}
