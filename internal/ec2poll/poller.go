package ec2poll

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// poller reads one query again and again, for all its subscriptions. What is
// in it belongs to its goroutine, but for users.
type poller struct {
	query    Query
	source   source
	log      *slog.Logger
	users    int // the pool's
	commands chan command
	stop     context.CancelFunc
	done     chan struct{}

	subs    map[*Subscription]struct{}
	pace    pace
	known   atomic.Pointer[record] // for the pool
	begun   uint64                 // polls
	polling bool                   // the last of them is under way
	results chan result
	answer  *Answer // the newest; nil = none yet
	fault   *Fault  // nil = the last poll went well
}

// record is what outlives a poller that failed: a new one must not ask too
// often, and knows what went wrong.
type record struct {
	pace  pace
	fault *Fault // nil = the last poll went well
}

// command adds or removes a subscription.
type command struct {
	sub    *Subscription
	afresh bool
	remove bool
}

// result is how a poll ended.
type result struct {
	answer *Answer
	err    error
}

// startPoller starts a poller without subscriptions.
func startPoller(q Query, s source, known record, log *slog.Logger) *poller {
	ctx, stop := context.WithCancel(context.Background())
	p := &poller{
		query: q, source: s, log: log.With("watcher", "ec2tag", "tag", q.Tag), pace: known.pace, fault: known.fault, stop: stop,
		commands: make(chan command), done: make(chan struct{}),
		subs: map[*Subscription]struct{}{}, results: make(chan result, 1),
	}
	p.known.Store(&known)
	go p.run(ctx)
	return p
}

func (p *poller) run(ctx context.Context) {
	defer close(p.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.arm(timer)
		select {
		case <-ctx.Done():
			if p.polling {
				<-p.results
			}
			p.source.close()
			return
		case c := <-p.commands:
			p.obey(c)
		case r := <-p.results:
			p.finish(ctx, r)
		case <-timer.C:
			p.begin(ctx)
		}
	}
}

// arm sets the timer to the next poll.
func (p *poller) arm(timer *time.Timer) {
	timer.Stop()
	if p.polling || len(p.subs) == 0 {
		return
	}
	var interval time.Duration // the smallest of all
	wanted := false
	for s := range p.subs {
		if interval == 0 || s.interval < interval {
			interval = s.interval
		}
		wanted = wanted || s.from > p.begun
	}
	timer.Reset(time.Until(p.pace.due(interval, wanted)))
}

func (p *poller) obey(c command) {
	if c.remove {
		delete(p.subs, c.sub)
		return
	}
	p.subs[c.sub] = struct{}{}
	if c.afresh {
		c.sub.from = p.begun + 1
	}
	p.tell(c.sub)
}

// tell says to one subscription what is known, if it may serve it.
func (p *poller) tell(s *Subscription) {
	if p.answer != nil && p.answer.poll >= s.from {
		s.SetFault(p.fault)
		s.Deliver(p.answer)
	} else if p.fault != nil {
		s.SetFault(p.fault)
	}
}

// begin starts a poll. It runs beside the poller, which so can serve newcomers
// while EC2 takes its time.
func (p *poller) begin(ctx context.Context) {
	p.begun++
	p.polling = true
	afresh := p.pace.failures > 0 && p.pace.failures%reconnect == 0
	go func() {
		answer, err := p.source.read(ctx, afresh)
		p.results <- result{answer, err}
	}()
}

func (p *poller) finish(ctx context.Context, r result) {
	p.polling = false
	if ctx.Err() != nil {
		return
	}
	before := p.pace
	p.pace = before.after(r.err, time.Now())
	if r.err != nil {
		p.failed(r.err)
	} else {
		if p.fault != nil {
			p.log.Info("EC2 answers again", "failures", before.failures, "instances", len(r.answer.all))
		}
		r.answer.poll = p.begun
		p.answer, p.fault = r.answer, nil
	}
	p.known.Store(&record{pace: p.pace, fault: p.fault})
	for s := range p.subs {
		if r.err != nil {
			s.SetFault(p.fault)
		} else {
			p.tell(s)
		}
	}
}

// failed takes note of a failure, and logs the first of a row: the watchers
// complain when it lasts.
func (p *poller) failed(err error) {
	first := p.fault == nil
	if f, ok := errors.AsType[*Fault](err); ok {
		p.fault = f
	} else {
		p.fault = &Fault{Region: p.query.Region, Call: "read", Err: err}
	}
	if first {
		p.log.Warn("EC2 cannot be read: its services stay as they are while it is tried again", "err", p.fault)
	}
}
