package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// A fleet must not come back in step. After a new session the list is read
// within a quarter of the session timeout or relist, whichever is shorter;
// after a short break the path is looked at within twice that.
const relist = 5 * time.Second

// The wait after a read that got no answer though there is a connection,
// doubled each time.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// A Run that lasts a minute is started again at once by its supervisor, one
// that is shorter after a growing delay, in which nobody would notice that
// ZooKeeper is back. So the first complaint comes after the session timeout,
// the next ones at this distance.
const complain = 65 * time.Second

// Run follows the path until ctx ends. It returns an error when there was no
// connection for the session timeout, so that it is known that the last word
// may be out of date; the next Run waits on.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	r, err := w.begin(publish)
	if err != nil {
		return err
	}
	defer r.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed, err := r.turn(ctx, timer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		// Nearly all of its life Run stands here, in thousands of goroutines: what
		// it needs besides is left to functions that have returned by now, so that
		// the collector may halve the stack.
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-changed:
		case <-r.sub.Wake():
		}
	}
}

// Condition tells whether there is a connection: while there is one, changes
// are heard of.
func (w *Watcher) Condition() service.Condition {
	if conn := w.open.Load(); conn != nil {
		w.feel(conn.State())
	}
	return w.pulse.Condition()
}

// feel takes note of a state, whose connection may not outlive this Run.
func (w *Watcher) feel(st zkconn.State) {
	switch {
	case st.Connected:
		w.pulse.Tell("", nil)
	case st.Err != nil:
		w.pulse.TellAt("", st.Err, st.Since)
	default:
		w.pulse.TellAt("", errConnecting, st.Since)
	}
}

var errConnecting = errors.New("there is no connection yet")

// turn does what is due, sets timer for what will be, and returns what is
// closed when the connection is not what it was.
//
//go:noinline
func (r *run) turn(ctx context.Context, timer *time.Timer) (changed <-chan struct{}, err error) {
	st := r.conn.State()
	next, err := r.step(ctx, st)
	if err == nil {
		timer.Reset(next)
	}
	return st.Changed, err
}

// begin opens the connection, and listens.
//
//go:noinline
func (w *Watcher) begin(publish func(service.Update)) (*run, error) {
	conn, err := w.pool.Open(w.ensemble)
	if err != nil {
		return nil, err
	}
	w.meter.opened(conn)
	w.open.Store(conn)
	return &run{Watcher: w, view: newView(w, conn), conn: conn, began: time.Now(), publish: publish}, nil
}

func (r *run) end() {
	r.sub.Close()
	r.open.Store(nil)
	r.conn.Close()
}

// run is one Run: what is due, and when.
type run struct {
	*Watcher
	*view
	conn     *zkconn.Conn
	publish  func(service.Update)
	began    time.Time
	linked   bool      // there was a connection in this Run
	session  uint64    // whose watches the view has
	link     uint64    // over which the view was looked at last
	due      time.Time // no read before
	verify   time.Time // when to look at the path's counters; zero = no need
	failures int       // reads without an answer in a row
}

// never is a wait that only an event ends.
const never = 24 * time.Hour

// step does what is due and returns how long nothing else will be.
func (r *run) step(ctx context.Context, st zkconn.State) (time.Duration, error) {
	if !st.Connected {
		return r.offline(st)
	}
	r.told = false
	if !r.linked {
		r.linked = true
		r.meter.took("synapse.watcher.zk.connect.elapsed_time", r.began)
	}
	r.notice(st)
	r.hear(r.sub.Take())
	now := time.Now()
	if !r.verify.IsZero() && !now.Before(r.verify) {
		if err := r.look(ctx); err != nil {
			return r.failed(err)
		}
		r.verify = time.Time{}
	}
	if r.poll > 0 && !now.Before(r.due) {
		r.forget()
	}
	switch {
	case !r.stale():
		r.noticed = time.Time{}
		return r.wait(r.verify), nil
	case now.Before(r.due):
		return r.wait(r.due), nil
	}
	done := r.meter.discovering(r.poll > 0)
	err := r.refresh(ctx)
	if done(); err != nil {
		return r.failed(err)
	}
	r.failures = 0
	r.due = now.Add(max(r.jitter, r.poll))
	r.publish(r.update())
	if r.poll > 0 {
		return r.wait(r.due), nil
	}
	return r.wait(r.verify), nil
}

// offline waits for the connection, and complains when that takes too long.
func (r *run) offline(st zkconn.State) (time.Duration, error) {
	since := st.Since
	if r.began.After(since) {
		since = r.began
	}
	patience := r.conn.Timeout()
	if r.told {
		patience = max(patience, complain)
	}
	if left := time.Until(since.Add(patience)); left > 0 {
		return left, nil
	}
	if r.linked && !r.told { // nobody keeps a session for longer
		r.meter.count("synapse.watcher.zk.session.expired")
	}
	r.told = true
	r.feel(st)
	return 0, fmt.Errorf("zookeeper %s: no connection for %v, what is known of %s may be out of date: %w",
		r.conn.Name(), time.Since(st.Since).Round(time.Second), r.path, st.Err)
}

// notice compares the session and the link with those that the view stems
// from.
func (r *run) notice(st zkconn.State) {
	spread := min(relist, r.conn.Timeout()/4) + 1
	switch {
	case st.Session != r.session:
		if r.session != 0 {
			r.due = time.Now().Add(rand.N(spread))
			r.meter.count("synapse.watcher.zk.session.expired")
		}
		r.unarm()
		r.verify = time.Time{}
	case st.Link != r.link:
		r.verify = time.Now().Add(rand.N(2 * spread))
	}
	r.session, r.link = st.Session, st.Link
}

// failed decides what a failed read means: an answer that is a refusal ends
// Run, no answer is tried again.
func (r *run) failed(err error) (time.Duration, error) {
	if !zkconn.IsLink(err) {
		return 0, err
	}
	wait := min(firstRetry<<min(r.failures, 20), lastRetry)
	r.failures++
	r.log.Debug("a read got no answer, trying again", "err", err)
	if wait == lastRetry {
		r.meter.to.Count("synapse.retry", "op:raise_max_attempts")
		return 0, err
	}
	r.meter.to.Count("synapse.retry", "op:retry_after_sleep")
	r.due = time.Now().Add(wait/2 + rand.N(wait))
	return r.wait(r.due), nil
}

// wait returns the time until t, or never for the zero time.
func (r *run) wait(t time.Time) time.Duration {
	if t.IsZero() {
		return never
	}
	return max(time.Until(t), 0)
}
