package nerve

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// drain is one that is under way.
type drain struct{ cancel context.CancelFunc }

// drained tells of a step of a drain.
type drained struct {
	name string
	of   *drain
	over bool // the last step; otherwise the wait is over
}

const (
	lookEvery = 10 * time.Millisecond // for the registries' answer
	askEvery  = time.Second           // for idleness
)

// give makes o the order for a service.
func (r *runner) give(name string, o Order) {
	if o.empty() {
		delete(r.orders, name)
	} else {
		r.orders[name] = o
	}
	if p := r.places[name]; p != nil {
		r.follow(name, p, o)
	}
}

// follow lets the service at p follow an order, and begins or ends its drain.
func (r *runner) follow(name string, p *place, o Order) {
	served := p.unit.view.Load().up
	p.obey(o)
	switch {
	case o.draining() && p.drain == nil:
		r.begin(name, p, served, o.Out.AtEnd)
	case !o.draining() && p.drain != nil:
		p.drain.cancel()
		p.drain = nil
	}
}

// obey tells the loops.
func (p *place) obey(o Order) {
	p.seat.order.Store(&o)
	for _, u := range []*unit{p.unit, p.next} {
		if u != nil {
			u.think()
		}
	}
}

// begin begins the drain of a service. served tells whether it has been getting
// traffic.
func (r *runner) begin(name string, p *place, served, atEnd bool) {
	ctx, cancel := context.WithCancel(r.life)
	d := &drain{cancel}
	p.drain = d
	how, seat := p.unit.svc.Drain, p.seat
	log := r.log.With("service", name)
	tell := func(over bool) {
		select {
		case r.drained <- drained{name, d, over}:
		case <-ctx.Done():
		}
	}
	log.Info("the drain begins")
	r.work.Go(func() {
		if served {
			ctx, cancel := context.WithTimeout(ctx, how.Max)
			seat.awaitAcknowledged(ctx)
			how.wait(ctx, atEnd, log)
			cancel()
		}
		tell(false)
		if served && how.ByWeight {
			ctx, cancel := context.WithTimeout(ctx, reportDeadline)
			seat.awaitAcknowledged(ctx)
			cancel()
		}
		if how.Shutdown.Run != nil && ctx.Err() == nil {
			if err := call(ctx, how.Shutdown.Timeout, how.Shutdown.Run); err != nil && ctx.Err() == nil {
				log.Error("the shutdown hook fails", "err", err)
			}
		}
		tell(true)
	})
}

// awaitAcknowledged waits until all registries have taken what is wanted, or
// until ctx ends.
func (s *seat) awaitAcknowledged(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !s.unit.Load().acknowledged() {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// wait gives the consumers their time. ctx ends when they have had Max.
func (d Drain) wait(ctx context.Context, atEnd bool, log *slog.Logger) {
	least := max(d.Wait, d.Min)
	if atEnd && !d.AtEnd && d.Idle.Run == nil {
		least = d.Min
	}
	pause(ctx, least)
	if d.Idle.Run == nil {
		return
	}
	var busy error
	for ctx.Err() == nil {
		if busy = call(ctx, d.Idle.Timeout, d.Idle.Run); busy == nil {
			return
		}
		pause(ctx, askEvery)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		log.Warn("is still not idle; the drain goes on without waiting longer", "waited", d.Max, "err", busy)
	}
}

// wanted tells whether the end of nerve is a drain.
func (d Drain) wanted() bool {
	return d.AtEnd || d.Min > 0 || d.Idle.Run != nil || d.Shutdown.Run != nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// drainedOne takes the news of a drain.
func (r *runner) drainedOne(d drained) {
	p := r.places[d.name]
	if p == nil || p.drain != d.of {
		return // lifted, or dropped, meanwhile
	}
	order := r.orders[d.name]
	if r.ending {
		order = p.seat.ordered(time.Now())
	}
	if order.Out != nil {
		out := *order.Out
		out.quiet, out.Drained = true, d.over
		order.Out = &out
	}
	if !d.over {
		p.obey(order)
		return
	}
	p.drain.cancel()
	p.drain = nil
	p.obey(order)
	r.log.Info("the drain is over", "service", d.name)
	if r.ending {
		r.drains--
		return
	}
	if order.Out != nil {
		r.orders[d.name] = order
		r.save()
	}
}

// wind begins the end: what asks for a drain gets one.
func (r *runner) wind(ctx context.Context) {
	r.ending = true
	now := time.Now()
	for name, p := range r.places {
		if p.drain == nil && !p.unit.svc.Drain.wanted() {
			continue
		}
		order := p.seat.ordered(now)
		switch {
		case order.Out != nil && order.Out.Drained:
			continue
		case p.drain == nil:
			r.follow(name, p, order.withOut(&Withdrawal{Drain: true, AtEnd: true, Since: now, Reason: "nerve ends"}))
		}
		r.drains++
	}
	if r.drains > 0 {
		r.log.Info("draining before the end", "services", r.drains, "reason", context.Cause(ctx))
	}
}
