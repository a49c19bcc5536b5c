package nerve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"smartstack/internal/mailbox"
)

// heartbeatEvery is how often the heartbeat file is touched.
const heartbeatEvery = 10 * time.Second

// Run keeps the services of the newest Config going until ctx ends, and then
// drains them where they ask for it, and withdraws them all, in parallel and
// within 5 s. configs wakes it through wake; the first Config may already be
// in. The error names what could not be withdrawn: those registrations end with
// their sessions or leases.
func Run(ctx context.Context, configs *mailbox.Latest[Config], wake <-chan struct{}, control *Control, log *slog.Logger) error {
	// The services outlive ctx for as long as they drain.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	r := &runner{
		log: log, life: life, queue: &queue{epoch: time.Now()}, crew: newCrew(), hops: control.Hops, places: map[string]*place{}, orders: map[string]Order{},
		gate: &gate{}, forget: func() {}, ended: make(chan ended), drained: make(chan drained),
	}
	defer r.crew.dismiss()
	asked := ctx.Done()
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	tend := time.NewTicker(tendEvery)
	defer tend.Stop()
	for !r.ending || r.drains > 0 {
		select {
		case <-asked:
			asked = nil
			r.wind(ctx)
		case <-control.hurry:
			if r.ending {
				r.drains = 0
			}
		case request := <-control.requests:
			request(r)
		case <-wake:
			if c, ok := configs.Take(); ok && !r.ending {
				r.apply(c)
				heartbeat.Reset(r.pulse())
				r.beat()
			}
		case e := <-r.ended:
			r.takenOver(e)
		case d := <-r.drained:
			r.drainedOne(d)
		case <-tend.C:
			r.tend()
		case <-heartbeat.C:
			r.beat()
		}
	}
	end()
	return r.end()
}

// pulse is the time between two heartbeats.
func (r *runner) pulse() time.Duration {
	if every := r.config.BeatEvery; every > 0 {
		return min(every, heartbeatEvery)
	}
	return heartbeatEvery
}

// runner owns all units.
type runner struct {
	log     *slog.Logger
	life    context.Context // ends when all is to be withdrawn
	queue   *queue          // of all registrations; it has the clock of the process
	crew    *crew           // runs all checks and reports
	hops    Hops
	places  map[string]*place
	pending map[string]pending
	orders  map[string]Order // of operators, also for services that are not configured
	gate    *gate
	keeper  *keeper // of the orders; nil before the first Config
	forget  func()  // ends the keeper
	work    sync.WaitGroup
	leaving []*unit      // stopped, perhaps still withdrawing
	ended   chan ended   // take-overs that are through
	drained chan drained // steps of drains
	drains  int          // under way because of the end
	ending  bool
	config  Config
}

// place is where one service name lives.
type place struct {
	seat  *seat
	unit  *unit    // reports, or withdraws once next has reported
	next  *unit    // is taking over; nil = no reload is under way
	then  *Service // came while next was taking over, and follows it
	drain *drain   // under way; nil = none
}

// ended tells that a take-over is through.
type ended struct {
	name string
	next *unit
}

// apply makes c the configuration.
func (r *runner) apply(c Config) {
	r.config = c
	r.gate.limit.Store(int64(c.MaxDown))
	r.queue.setRate(c.Rate)
	r.remember(c.StateFile)
	r.await(c.Pending)
	r.sweep()
	var kept, started, changed, removed int
	wanted := make(map[string]bool, len(c.Services))
	for _, s := range c.Services {
		wanted[s.Name] = true
	}
	vacant := r.vacant(wanted)
	for _, s := range c.Services {
		p := r.places[s.Name]
		old, renamed := vacant[s.Entry]
		switch {
		case p == nil && renamed && s.Entry != "":
			delete(vacant, s.Entry)
			r.rename(old, s)
			changed++
		case p == nil:
			r.open(s)
			started++
		case p.key() == s.Key:
			kept++
		case p.next != nil:
			p.then = &s
			changed++
		default:
			r.replace(p, s)
			changed++
		}
	}
	for name, p := range r.places {
		if !wanted[name] {
			r.drop(name, p)
			removed++
		}
	}
	r.log.Info("configuration applied", "services", len(c.Services),
		"kept", kept, "started", started, "changed", changed, "removed", removed)
	if c.Applied != nil {
		c.Applied()
	}
}

// open starts a service that was not there.
func (r *runner) open(s Service) {
	r.launched(s.Name, "new")
	p := &place{seat: &seat{gate: r.gate, queue: r.queue, crew: r.crew, statsd: r.config.Statsd, version: r.config.Version, hops: r.hops}}
	p.obey(r.settled(s.Name))
	p.unit = start(r.life, s, p.seat, r.log)
	p.seat.unit.Store(p.unit)
	close(p.unit.begin)
	r.places[s.Name] = p
}

// key is that of the newest version of the service at p.
func (p *place) key() string {
	switch {
	case p.then != nil:
		return p.then.Key
	case p.next != nil:
		return p.next.svc.Key
	default:
		return p.unit.svc.Key
	}
}

// replace starts s and lets it take over from the unit at p.
func (r *runner) replace(p *place, s Service) {
	r.launched(s.Name, "update")
	p.next = start(r.life, s, p.seat, r.log)
	go func(old, next *unit) {
		handOver(r.life, old, next)
		select {
		case r.ended <- ended{s.Name, next}:
		case <-r.life.Done():
		}
	}(p.unit, p.next)
}

// handOver lets next report in place of old. Old falls silent before next
// speaks, so two loops never fight over one entry, and withdraws afterwards,
// so the service is never unregistered in between. Old is not kept for a next
// that has found the service down, nor beyond the limit.
func handOver(ctx context.Context, old, next *unit) {
	select {
	case <-next.decided:
	case <-next.quiet: // dropped, or the program ends
	case <-ctx.Done():
	}
	old.quit()
	select {
	case <-old.quiet:
	case <-time.After(grace): // a reporter ignores its context: next must not wait for it
	}
	close(next.begin)
	select {
	case <-next.settled:
	case <-next.isDown:
	case <-next.quiet:
	case <-ctx.Done():
	case <-time.After(takeOverLimit):
		next.log.Warn("has not been able to report since the reload; the old registration is withdrawn", "waited", takeOverLimit)
	}
	close(old.release)
}

// takenOver ends a take-over, and begins the next if one waits.
func (r *runner) takenOver(e ended) {
	p := r.places[e.name]
	if p == nil || p.next != e.next {
		return // dropped meanwhile
	}
	r.leaving = append(r.leaving, p.unit)
	r.reaped(e.name, "update")
	p.unit, p.next = p.next, nil
	p.seat.unit.Store(p.unit)
	r.log.Info("service runs with its new options", "service", e.name)
	if then := p.then; then != nil {
		p.then = nil
		if then.Key != p.unit.svc.Key {
			r.replace(p, *then)
		}
	}
}

// drop withdraws the service at p.
func (r *runner) drop(name string, p *place) {
	delete(r.places, name)
	r.reaped(name, "old")
	p.seat.back()
	if p.drain != nil {
		p.drain.cancel()
	}
	if p.next == nil {
		p.unit.stop()
		r.leaving = append(r.leaving, p.unit)
		return
	}
	p.next.stop() // ends the take-over, which releases the old unit
	r.leaving = append(r.leaving, p.unit, p.next)
}

// sweep forgets units that have withdrawn.
func (r *runner) sweep() {
	var still []*unit
	for _, u := range r.leaving {
		select {
		case <-u.gone:
			if u.err != nil {
				r.log.Error("a registration stays until its session ends", "service", u.svc.Name, "err", u.err)
			}
		default:
			still = append(still, u)
		}
	}
	r.leaving = still
}

// end waits until every unit has withdrawn: all have seen the end of life.
func (r *runner) end() error {
	for _, p := range r.places {
		r.leaving = append(r.leaving, p.unit)
		if p.next != nil {
			r.leaving = append(r.leaving, p.next)
		}
	}
	limit, over := context.WithTimeout(context.Background(), closeDeadline+grace)
	defer over()
	var errs []error
	for _, u := range r.leaving {
		select {
		case <-u.gone:
			errs = append(errs, u.err)
		case <-limit.Done():
			errs = append(errs, fmt.Errorf("service %s: still withdrawing after %v", u.svc.Name, closeDeadline))
		}
	}
	done := make(chan struct{})
	go func() { r.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-limit.Done():
	}
	return errors.Join(errs...)
}

// tend lets every service think that has had no reason to for a while, about what
// depends on time and on its registries.
func (r *runner) tend() {
	r.expire()
	for _, p := range r.places {
		for _, u := range [...]*unit{p.unit, p.next} {
			if u != nil && u.forgotten() {
				u.think()
			}
		}
	}
}

// beat touches the heartbeat file, unless something is stuck: whoever watches
// the file then restarts the program.
func (r *runner) beat() {
	r.sweep()
	for name, p := range r.places {
		for _, u := range []*unit{p.unit, p.next} {
			if u == nil {
				continue
			}
			if what := u.stuck(); what != "" {
				r.log.Error("no progress; the heartbeat is withheld", "service", name, "reason", what)
				return
			}
		}
	}
	if r.config.Beat != nil {
		r.config.Beat()
	}
	if r.config.Heartbeat == "" {
		return
	}
	if err := touch(r.config.Heartbeat, time.Now()); err != nil {
		r.log.Error("cannot touch heartbeat_path", "err", err)
	}
}

func touch(path string, now time.Time) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Chtimes(path, now, now))
}
