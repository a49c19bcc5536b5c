package consulconn

import (
	"context"
	"errors"
	"time"

	"smartstack/internal/httpconn"
)

// watch is one query that is kept open. It belongs to the follower.
type watch struct {
	query Query
	subs  map[*Subscription]struct{}

	index  uint64 // to wait for a change from; 0 = ask for an answer at once
	leader bool   // ask the leader next
	doubt  bool   // the index went backwards: the next answer counts

	due         time.Time // of the next read; zero = at once
	started     time.Time // the last read
	wait        time.Duration
	flying      bool   // it is under way
	number      uint64 // its number
	cancel      context.CancelFunc
	interrupted bool      // it was cut short, to be begun anew
	failures    int       // in a row
	since       time.Time // of the first of them
	named       bool      // the log has said that it fails
	hasty       int       // answers in a row that came early and brought nothing new

	answer    *Answer // the newest; nil = none yet
	digest    uint64  // of its bytes
	confirmed uint64  // the last read that said the same
	fault     error   // nil = the last read went well
}

// interrupt cuts a read short.
func (w *watch) interrupt() {
	if w.flying {
		w.interrupted = true
		w.cancel()
	}
}

// anew asks for an answer that does not wait for a change; not before a pause
// after a failure is over.
func (w *watch) anew() {
	w.index = 0
	w.interrupt()
	if !w.flying && w.failures == 0 {
		w.due = time.Time{}
	}
}

// longest returns the shortest wait of all subscriptions.
func (w *watch) longest() time.Duration {
	wait := longestWait
	for s := range w.subs {
		wait = min(wait, s.pace.Wait)
	}
	return wait
}

// take judges a whole answer.
func (w *watch) take(r result, now time.Time) error {
	p, count := r.page, len(r.answer.Instances)+len(r.answer.Pairs)
	if w.query.read.Stale && !w.leader && p.age > w.query.read.MaxStale {
		w.leader, w.index = true, 0
		w.failures = 0
		w.pause(true, now)
		return nil
	}
	w.leader = false
	index := max(p.index, 1) // 0 would not wait
	if index < w.index {     // Consul was restored, or this server is behind
		w.index, w.doubt = 0, true
		w.failures = 0
		w.pause(true, now)
		return nil
	}
	doubt := w.doubt
	w.doubt = false
	switch {
	case count == 0 && r.answer.Withheld:
		return &Fault{Call: "GET " + w.query.path(), Err: errWithheld}
	case !p.leader && (count == 0 || doubt):
		return &Fault{Call: "GET " + w.query.path(), Err: errLeaderless}
	}
	moved := index != w.index
	w.index = index
	news := w.answer == nil || w.digest != r.digest || w.answer.Withheld != r.answer.Withheld
	w.failures, w.fault, w.confirmed = 0, nil, w.number
	if news {
		w.answer, w.digest = r.answer, r.digest
	}
	w.pause(moved || news, now)
	if news {
		w.hasty = 0
		w.due = later(now, w.started.Add(quiet))
	}
	return nil
}

var (
	errWithheld   = errors.New("the token may not read this: all that would be in the answer was withheld")
	errLeaderless = errors.New("the server knows no leader, and less than was known: it is not believed")
)

// pause sets the next read after one that brought nothing new. Consul answers
// when the wait is over; who answers sooner, again and again, is asked less.
func (w *watch) pause(moved bool, now time.Time) {
	if w.index > 0 && now.Sub(w.started) >= w.wait/2 {
		w.hasty = 0
		w.due = now
		return
	}
	longest := hastySame
	if moved {
		longest = hastyMoved
	}
	w.due = now.Add(httpconn.Doubled(quiet, w.hasty, longest))
	w.hasty++
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// failed takes note of a failure. What was known then counts no more as a
// place to wait from.
func (w *watch) failed(err error, now time.Time) {
	if w.fault == nil {
		w.since = now
	}
	w.failures++
	w.fault, w.index, w.hasty = err, 0, 0
	w.due = now.Add(httpconn.Backoff(w.failures, refused(err), httpconn.Roll()))
}

// tell says to one subscription what is known, if it may serve it.
func (w *watch) tell(s *Subscription) {
	switch {
	case w.answer != nil && w.confirmed >= s.from:
		s.SetFault(w.fault)
		if w.fault == nil && s.seen != w.answer {
			s.seen = w.answer
			s.Deliver(w.answer)
		}
	case w.fault != nil:
		s.SetFault(w.fault)
	}
}
