package dns

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

// The bounds of one question. Together with the number of nameservers they
// say after how long a silent DNS is an error: 2 × 2 s for each.
const (
	tryFor       = 2 * time.Second
	tryTimes     = 2
	questionEnds = 10 * time.Second
)

// A question is asked again after its TTL, at least shortestTTL, or after a
// failure when firstRetry, doubled each time, has passed; both end at
// check_interval. At most inFlight questions are on their way.
const (
	shortestTTL = time.Second
	firstRetry  = time.Second
	inFlight    = 16
)

// Follower follows what the hosts of backends resolve to. What it knows
// outlives a Run, so that a nameserver that is away during the next one takes
// nothing away. Make it with NewFollower.
type Follower struct {
	log        *slog.Logger
	servers    []string // ip:port; empty = resolvConf's
	resolvConf string
	interval   time.Duration
	kinds      []dnsmessage.Type // the records wanted of each host
	try        time.Duration
	retry      time.Duration
	shortest   time.Duration
	dial       dialer // nil = the host's network

	failed func()          // told of each look-up that fails
	wanted *service.Update // whose hosts are followed; nil = not told yet
	last   *service.Update // published since wanted has changed; nil = nothing
	state  map[question]*entry
	pulse  service.Pulse // by name and kind of record
}

// Condition tells which names cannot be looked up, and since when.
func (f *Follower) Condition() service.Condition { return f.pulse.Condition() }

// entry is what is known of one question. It belongs to the goroutine of Run.
type entry struct {
	answer
	err      error // why the last look-up failed; nil = it did not
	failures int   // in a row
	settled  bool  // answered or failed in this Run
	asked    bool  // on its way
	due      time.Time
}

// result is a look-up that has ended.
type result struct {
	question
	answer
	server int
	err    error
}

// NewFollower makes a follower of addresses, without I/O.
func NewFollower(o Lookup, log *slog.Logger) (*Follower, error) {
	f := &Follower{
		log: log, resolvConf: "/etc/resolv.conf", interval: max(o.CheckInterval.Duration(), shortestTTL),
		kinds: recordKinds["a"], try: tryFor, retry: firstRetry, shortest: shortestTTL,
		failed: func() {}, state: map[question]*entry{},
	}
	for _, text := range o.Nameservers {
		s, err := nameserver(text)
		if err != nil {
			return nil, err
		}
		f.servers = append(f.servers, s)
	}
	return f, nil
}

// OnFailure lets f be called for each look-up that fails. It is called before
// Run.
func (f *Follower) OnFailure(failed func()) { f.failed = failed }

// Forget makes the next Run wait for backends to be named anew. What names
// resolve to is kept. It must not be called during a Run.
func (f *Follower) Forget() { f.wanted, f.last = nil, nil }

// Run publishes the backends of the newest update in wanted, each once for
// each of its host's addresses, until ctx ends; a value in wake says that
// wanted holds one. It returns an error when every look-up has failed. Runs
// must not overlap.
func (f *Follower) Run(ctx context.Context, wanted *mailbox.Latest[service.Update], wake <-chan struct{}, publish func(service.Update)) error {
	c, err := newClient(f.servers, f.resolvConf)
	if err != nil {
		return err
	}
	c.try, c.attempts = f.try, tryTimes
	if f.dial != nil {
		c.dial = f.dial
	}
	for _, e := range f.state {
		e.settled, e.asked, e.due = false, false, time.Time{}
	}
	ctx, cancel := context.WithCancel(ctx)
	var lookups sync.WaitGroup
	defer lookups.Wait()
	defer cancel()
	r := &run{Follower: f, client: c, results: make(chan result), publish: publish, start: lookups.Go, changed: true}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if u, ok := wanted.Take(); ok {
			f.wanted, r.need, r.changed, r.last = &u, nil, true, nil
		}
		wait, err := r.step(ctx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		case res := <-r.results:
			r.learn(res)
		}
	}
}

// run is one Run.
type run struct {
	*Follower
	client  *client
	results chan result
	publish func(service.Update)
	start   func(func())

	need    map[question]*entry // what wanted and the answers so far ask for; nil = to be found out
	changed bool                // something may have to be published
	server  int                 // the nameserver that answered last
	flights int
}

// step asks what is due, publishes what has changed, and returns how long
// nothing else will be due.
func (r *run) step(ctx context.Context) (time.Duration, error) {
	const never = 24 * time.Hour
	if r.wanted == nil {
		return never, nil
	}
	if r.need == nil {
		r.findNeed()
	}
	now := time.Now()
	settled, next := true, now.Add(never)
	for q, e := range r.need {
		settled = settled && e.settled
		if e.asked {
			continue
		}
		if now.Before(e.due) {
			next = earlier(next, e.due)
		} else if r.flights < inFlight {
			r.ask(ctx, q, e)
		} // else the next result makes room
	}
	if settled && r.changed {
		if err := r.say(); err != nil {
			return 0, err
		}
	}
	return time.Until(next), nil
}

// findNeed takes up new questions and drops those that nobody asks any more.
func (r *run) findNeed() {
	r.need = map[question]*entry{}
	for q := range r.needed() {
		if r.state[q] == nil {
			r.state[q] = &entry{}
		}
		r.need[q] = r.state[q]
	}
	asked := make(map[string]bool, len(r.need))
	for q := range r.need {
		asked[q.String()] = true
	}
	r.pulse.Keep(func(part string) bool { return asked[part] })
	maps.DeleteFunc(r.state, func(q question, e *entry) bool { return r.need[q] == nil && !e.asked })
}

// say publishes what is known, unless it was said before.
func (r *run) say() error {
	u, err := r.update()
	if err != nil {
		return err
	}
	r.changed = false
	if r.last == nil || !same(*r.last, u) {
		r.last = &u
		r.publish(u)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// ask starts a look-up.
func (r *run) ask(ctx context.Context, q question, e *entry) {
	e.asked = true
	r.flights++
	client, first, results := r.client, r.server, r.results
	r.start(func() {
		limited, cancel := context.WithTimeoutCause(ctx, questionEnds, errors.New("no answer within the time of one look-up"))
		defer cancel()
		a, server, err := client.lookup(limited, q, first)
		select {
		case results <- result{question: q, answer: a, server: server, err: err}:
		case <-ctx.Done():
		}
	})
}

// learn takes in the end of a look-up.
func (r *run) learn(res result) {
	r.flights--
	e := r.state[res.question]
	e.asked, e.settled = false, true
	now := time.Now()
	r.pulse.Tell(res.String(), res.err)
	if res.err != nil {
		if e.err == nil {
			r.log.Warn("a name cannot be looked up; what it gave before stays", "backend", res.question.String(), "err", res.err)
			r.changed = true
		}
		wait := min(r.retry<<min(e.failures, 16), r.interval)
		e.err = res.err
		e.failures++
		r.failed()
		e.due = now.Add(wait/2 + rand.N(wait))
		return
	}
	if e.err != nil {
		r.log.Info("a name can be looked up again", "backend", res.question.String())
	}
	if !slices.Equal(e.records, res.records) {
		r.need = nil // the servers of SRV records have to be asked for
	}
	r.changed = r.changed || r.need == nil || e.err != nil || e.why != res.why
	e.answer, e.err, e.failures = res.answer, nil, 0
	e.due = now.Add(min(max(res.ttl, r.shortest), r.interval))
	r.server = res.server
}

// same compares what two updates from the same wanted backends say.
func same(a, b service.Update) bool {
	return a.RejectedTotal == b.RejectedTotal && slices.Equal(a.Rejected, b.Rejected) &&
		slices.Equal(slices.Collect(a.Backends.All()), slices.Collect(b.Backends.All()))
}
