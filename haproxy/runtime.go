package haproxy

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"smartstack/haproxy/socket"
)

// RuntimeOptions are the settings of a Runtime.
type RuntimeOptions struct {
	Sockets     []string      // paths of the admin sockets, one for each HAProxy process
	DrainTime   time.Duration // as in drainRules; 0 = no limit
	CutSessions bool          // cut the sessions that are left after DrainTime
	Maintenance bool          // as in PlanOptions
	Journal     string        // file for what the processes were told, as in journal; empty = none
	// Lookup resolves a host name, as net.Resolver's LookupNetIP does with the
	// network "ip".
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// runtime returns the settings of a Runtime that the options ask for.
func (o *Options) runtime(lookup func(ctx context.Context, host string) ([]netip.Addr, error)) RuntimeOptions {
	return RuntimeOptions{Sockets: o.SocketFilePath, DrainTime: o.DrainTime.Duration(), CutSessions: o.DrainCut, Lookup: lookup}
}

const (
	greetEvery   = time.Second // HAProxy is asked whether it is still the same process
	compareEvery = time.Second // what runs is compared with what is wanted, many sections in rounds
	compareShare = 50          // but at most this part of the time: 1/50
	calmShare    = 500         // the same while all is as it should be
	compareLimit = time.Minute // and at least so often
	tendEvery    = time.Second
	manyBackends = 64 // of more changed sections all servers are read at once; the sections of one round
	forgiveAfter = time.Minute
)

// Runtime makes the servers that run in HAProxy equal to those that are
// wanted. It belongs to one goroutine. The cost of a call follows what has
// changed since the call before, but for a question about every second, which
// notices HAProxy's restarts, and a comparison when there is time for it, of
// everything in turn, which notices what others did by hand.
type Runtime struct {
	o     RuntimeOptions
	log   *slog.Logger
	procs []*process
	hosts hostCache
}

// process is one HAProxy process and what was last found out about it.
type process struct {
	client      *socket.Client
	seed        maphash.Seed
	info        socket.Info // zero = none met yet
	known       Known
	journal     *journal
	services    map[string]*verdict
	open        map[string]*verdict // those of services that have something to say
	last        []*Section          // the sections of the last successful call
	nextGreet   time.Time
	nextCompare time.Time
	compareTook time.Duration
	doubted     bool // the next comparison is one of everything
	round       int  // the section with which the next round of comparisons begins
	nextTend    time.Time
}

// verdict is the result of the last comparison of one service.
type verdict struct {
	section *Section
	states  uint64 // as process.sum counts them
	loaded  []byte
	settled bool // nothing was to be done: while all of the above stays, nothing is

	reasons       []Reason
	left, waiting []Remark
}

// sum tells whether states are still the same, without keeping them: they are
// large, and parts of the reply in which all servers came.
func (p *process) sum(states []socket.ServerState) uint64 {
	type chain struct {
		before uint64
		state  socket.ServerState
	}
	sum := uint64(len(states))
	for _, s := range states {
		sum = maphash.Comparable(p.seed, chain{sum, s})
	}
	return sum
}

// NewRuntime returns a Runtime. It does no I/O.
func NewRuntime(o RuntimeOptions, log *slog.Logger) *Runtime {
	r := &Runtime{o: o, log: log, hosts: hostCache{lookup: o.Lookup, patience: serverPatience}}
	for i, path := range o.Sockets {
		p := &process{client: socket.New(path), seed: maphash.MakeSeed(), services: map[string]*verdict{}, journal: &journal{}}
		if o.Journal != "" {
			p.journal.path, p.journal.warn = o.Journal, func(err error) {
				log.Warn("if this synapse is killed, the next one knows less of what HAProxy was told", "err", err)
			}
			if i > 0 {
				p.journal.path += "." + strconv.Itoa(i)
			}
		}
		r.procs = append(r.procs, p)
	}
	return r
}

// Close closes the connections. HAProxy goes on as it is.
func (r *Runtime) Close() error {
	r.hosts.close()
	var all []error
	for _, p := range r.procs {
		p.journal.close()
		all = append(all, p.client.Close())
	}
	return errors.Join(all...)
}

// Sync makes the servers in every process equal to those of want. loaded
// returns the frontend and backend of a service as HAProxy has loaded them, or
// has been told since by an earlier Sync; nil = not known. A socket that does
// not work is an error; the others are served all the same.
func (r *Runtime) Sync(ctx context.Context, want Model, loaded func(service string) []byte) (Result, error) {
	began := time.Now()
	if loaded == nil {
		loaded = func(string) []byte { return nil }
	}
	res := Result{Refusals: map[string]string{}}
	var all []error
	for _, p := range r.procs {
		if err := r.sync(ctx, p, want, loaded, began, &res); err != nil {
			all = append(all, err)
		}
		p.report(&res)
	}
	res.Took = time.Since(began)
	return res, errors.Join(all...)
}

// compareAll makes the next Sync compare everything.
func (r *Runtime) compareAll() {
	for _, p := range r.procs {
		p.nextCompare, p.doubted = time.Time{}, true
	}
}

// greet makes the next Sync ask whether HAProxy is still the same process.
func (r *Runtime) greet() {
	for _, p := range r.procs {
		p.nextGreet = time.Time{}
	}
}

// report adds what the last comparisons of p found.
func (p *process) report(res *Result) {
	for _, name := range slices.Sorted(maps.Keys(p.open)) {
		v := p.open[name]
		res.Left = append(res.Left, v.left...)
		res.Waiting = append(res.Waiting, v.waiting...)
		for _, reason := range v.reasons {
			if slices.Contains(res.Reasons, reason) {
				continue // the same of another process
			}
			res.Reasons = append(res.Reasons, reason)
			if res.Refusals[name] != "" {
				res.Refusals[name] += "; "
			}
			res.Refusals[name] += reason.Text
		}
	}
	res.Leaving += len(p.known.leaving)
}

// sync serves one process.
func (r *Runtime) sync(ctx context.Context, p *process, want Model, loaded func(string) []byte, now time.Time, res *Result) error {
	changed := p.changed(want)
	compare := p.info.PID == 0 || !now.Before(p.nextCompare)
	tending := len(p.known.leaving) > 0 && !now.Before(p.nextTend)
	if len(changed) == 0 && !compare && !tending && now.Before(p.nextGreet) {
		return nil
	}
	p.nextGreet = now.Add(greetEvery)
	full := len(changed) > manyBackends || compare && (p.doubted || p.info.PID == 0 || len(want.Sections) <= manyBackends)
	switch {
	case full:
		changed = want.Sections
	case compare:
		changed = p.nextRound(want.Sections, changed)
	}
	run, fresh, err := p.read(ctx, changed, full)
	if err == nil && fresh {
		if !full {
			full, changed = true, want.Sections
			run, _, err = p.read(ctx, changed, true)
		}
		if err == nil {
			err = p.meet(ctx, run, want, loaded, res)
		}
		if err != nil {
			p.info = socket.Info{} // it is still to be met
		}
	}
	if err == nil && fresh && res.Met[len(res.Met)-1].otherIDs {
		// No server is replaced for its id before it is clear which file was loaded.
		p.nextCompare, p.doubted = time.Time{}, true
		return nil
	}
	if err != nil {
		p.nextCompare, p.doubted = time.Time{}, true
		return err
	}
	p.known.count(run)
	stale, err := r.update(ctx, p, run, changed, want, loaded, now, res)
	stale = stale || fresh // what it has loaded may be known better by then
	if full && err == nil {
		p.doubted = false
	}
	if (full || compare) && err == nil {
		p.compareTook = time.Since(now)
		p.nextCompare = now.Add(min(max(compareEvery, calmShare*p.compareTook), compareLimit))
	}
	if err != nil || stale {
		p.nextCompare, p.doubted = time.Time{}, true
	} else if soon := now.Add(max(compareEvery, compareShare*p.compareTook)); soon.Before(p.nextCompare) && slices.ContainsFunc(changed, p.isUnsettled) {
		p.nextCompare = soon
	}
	if err != nil {
		return err
	}
	p.last = want.Sections
	if !tending {
		return nil
	}
	p.nextTend = now.Add(tendEvery)
	return tend(ctx, p.client, p.info, &p.known, drainRules{limit: r.o.DrainTime, shutdown: r.o.CutSessions}, now)
}

// nextRound returns the sections to compare next, beside those given: the ones
// that are to be looked at again, and so many of the others that all have had
// their turn after a while. All at once would hold everything up, and fill the
// memory with what HAProxy says.
func (p *process) nextRound(all, given []*Section) []*Section {
	from := p.round % len(all)
	p.round = from + manyBackends
	in := make(map[*Section]bool, len(given))
	for _, s := range given {
		in[s] = true
	}
	list := slices.Clone(given)
	for i, s := range all {
		turn := (i-from+len(all))%len(all) < manyBackends
		if (turn || p.isUnsettled(s)) && !in[s] {
			list = append(list, s)
		}
	}
	return list
}

// isUnsettled reports whether s is to be looked at again.
func (p *process) isUnsettled(s *Section) bool {
	v := p.services[s.Service]
	return v != nil && !v.settled
}

// forgetServices forgets services that are not wanted any more: taking their
// backends away is a matter for a reload.
func (p *process) forgetServices(want Model) {
	keep := make(map[string]bool, len(want.Sections))
	for _, s := range want.Sections {
		keep[s.Service] = true
	}
	gone := func(name string, _ *verdict) bool { return !keep[name] }
	maps.DeleteFunc(p.services, gone)
	maps.DeleteFunc(p.open, gone)
}

// changed returns the sections that are not those of the last comparison.
func (p *process) changed(want Model) []*Section {
	var list []*Section
	sameShape := len(p.last) == len(want.Sections)
	if !sameShape {
		p.forgetServices(want)
	}
	forgotten := !sameShape
	for i, s := range want.Sections {
		if sameShape && p.last[i] == s {
			continue
		}
		if v := p.services[s.Service]; v == nil || v.section != s {
			list = append(list, s)
		}
		if !forgotten && p.last[i].Service != s.Service {
			p.forgetServices(want)
			forgotten = true
		}
	}
	return list
}

// update plans and acts for the sections. stale means that HAProxy changed
// under our hands, and is to be looked at again.
func (r *Runtime) update(ctx context.Context, p *process, run Running, sections []*Section, want Model, loaded func(string) []byte, now time.Time, res *Result) (stale bool, err error) {
	maps.DeleteFunc(p.known.refused, func(_ string, f refusal) bool { return now.Sub(f.at) > forgiveAfter })
	var todo []*Section
	for _, s := range sections {
		if v := p.services[s.Service]; v == nil || !v.settled || v.section != s ||
			v.states != p.sum(run.Backends[s.BackendName]) || !bytes.Equal(v.loaded, loaded(s.Service)) {
			todo = append(todo, s)
			p.known.watchOrder(p.seed, s, run.Backends[s.BackendName])
		}
	}
	if len(todo) == 0 {
		return false, nil
	}
	plan := NewPlan(run, todo, PlanOptions{
		Known: &p.known, Loaded: loaded, Inherited: inheritedLines(want.Preamble),
		Hosts: r.hosts.resolve(ctx, unresolved(run, todo), now), Maintenance: r.o.Maintenance,
	})
	p.known.keep(plan.Kept)
	if p == r.procs[0] {
		res.Kept = append(res.Kept, plan.Kept...)
	}
	out, err := act(ctx, p.client, p.info, plan, &p.known, now)
	res.Steps, res.Commands = append(res.Steps, out.done...), res.Commands+out.commands
	if err != nil {
		return false, err
	}
	for _, s := range todo {
		p.services[s.Service] = &verdict{
			section: s, states: p.sum(run.Backends[s.BackendName]), loaded: loaded(s.Service), settled: true,
		}
		delete(p.open, s.Service)
	}
	for _, s := range plan.Steps {
		p.services[s.Service].settled = false
	}
	p.note(plan, out)
	if len(out.refused) > 0 {
		r.log.Warn("HAProxy refuses to be changed at run time", "service", out.refused[0].Service, "reason", out.refused[0].Text, "refusals", len(out.refused))
	}
	res.Again = res.Again || out.again
	return out.stale || out.again, nil
}

// note sorts what is left to say by service.
func (p *process) note(plan Plan, out outcome) {
	open := func(service string) *verdict {
		if p.open == nil {
			p.open = map[string]*verdict{}
		}
		v := p.services[service]
		p.open[service] = v
		return v
	}
	for _, reason := range slices.Concat(plan.Reload, out.refused) {
		v := open(reason.Service)
		v.reasons = append(v.reasons, reason)
	}
	for _, m := range plan.Left {
		v := open(m.Service)
		v.left = append(v.left, m)
	}
	for _, m := range plan.Waiting {
		v := open(m.Service)
		v.waiting, v.settled = append(v.waiting, m), false
	}
}
