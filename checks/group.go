package checks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// groupOptions are the keys of the types all and any.
type groupOptions struct {
	Host   string         `cfg:"host" doc:"Address that the members check unless they have their own; the service's host when absent."`
	Port   int            `cfg:"port" doc:"Port that the members check unless they have their own; the service's port when absent."`
	Checks []*config.Node `cfg:"checks,required" doc:"Members: checks, or groups, without rise and fall, which belong to the outermost group. They run at the same time."`
}

// group runs several checks at once and makes one result of theirs.
type group struct {
	members []Built
	judge   judge
}

// judge is asked after each result. over ends the group with the error;
// members that have not answered yet are canceled.
type judge func(g *group, done []result) (over bool, err error)

// result is what one member said.
type result struct {
	member *Built
	err    error
}

func buildGroup(j judge) func(*config.Node, Parent, *slog.Logger, *config.Report) Built {
	return func(n *config.Node, p Parent, log *slog.Logger, r *config.Report) Built {
		o := struct {
			common
			groupOptions
		}{groupOptions: groupOptions{Host: p.Host, Port: p.Port}}
		before := len(r.Faults())
		n.Decode(&o, r)
		if list := n.Get("checks"); !list.IsNull() && len(o.Checks) == 0 {
			r.Fault(list, "is empty: a group needs members")
		}
		p.Host, p.Port = o.Host, o.Port
		g := &group{judge: j}
		b := Built{Name: o.Name, Check: o.weigh(g), Rise: o.Rise, Fall: o.Fall}
		var names []string
		for _, member := range o.Checks {
			for _, key := range []string{"rise", "fall"} {
				if at := member.Get(key); at != nil {
					r.Fault(at, "belongs to the group, not to its members")
				}
			}
			m := New(member, p, log, r)
			g.members = append(g.members, m)
			names = append(names, m.Name)
			b.Timeout = max(b.Timeout, m.Timeout)
		}
		if len(r.Faults()) > before {
			return Built{}
		}
		if b.Name == "" {
			b.Name = p.Name + " " + o.Type + " of " + strings.Join(names, ", ")
		}
		return b
	}
}

// Check returns when the members' results are enough for one, and all members
// have ended.
func (g *group) Check(whole context.Context) error {
	ctx, cancel := context.WithCancel(whole)
	defer cancel()
	results := make(chan result, len(g.members))
	for i := range g.members {
		go func(m *Built) { results <- result{m, m.look(ctx)} }(&g.members[i])
	}
	var done []result
	var over bool
	var verdict error
	for range g.members {
		r := <-results
		if over {
			continue // one that was canceled
		}
		done = append(done, r)
		if over, verdict = g.judge(g, done); over {
			cancel()
		}
	}
	if verdict != nil && whole.Err() != nil {
		return checkconn.Ended(whole, verdict)
	}
	return verdict
}

// look runs one member within its own time. A panic is its failure alone.
func (b *Built) look(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check panicked: %v", p)
		}
	}()
	return b.Check.Check(ctx)
}

func (r result) String() string { return r.member.Name + ": " + r.err.Error() }

// all passes when every member does. The first failure decides; degraded
// members give the group the lowest of their weights.
func all(g *group, done []result) (bool, error) {
	last := done[len(done)-1]
	if _, degraded := service.AsDegraded(last.err); last.err != nil && !degraded {
		return true, fmt.Errorf("%s: %w", last.member.Name, last.err)
	}
	return len(done) == len(g.members), lowest(done)
}

func lowest(done []result) error {
	var worst *service.Degraded
	var reasons []string
	for _, r := range done {
		d, ok := service.AsDegraded(r.err)
		if !ok {
			continue
		}
		reasons = append(reasons, r.member.Name+": "+d.Reason)
		if worst == nil || d.Weight < worst.Weight {
			worst = &d
		}
	}
	if worst == nil {
		return nil
	}
	return service.Degraded{Reason: strings.Join(reasons, "; "), Weight: worst.Weight}
}

// anyOf passes when one member does. Otherwise one that could not be made might
// have; then the best degraded one counts; and then the group has failed for the
// reasons of all.
func anyOf(g *group, done []result) (bool, error) {
	if done[len(done)-1].err == nil {
		return true, nil
	}
	if len(done) < len(g.members) {
		return false, nil
	}
	var best *service.Degraded
	var unmade error
	reasons := make([]string, len(done))
	for i, r := range done {
		reasons[i] = r.String()
		if service.OutOfMeans(r.err) {
			unmade = fmt.Errorf("%s: %w", r.member.Name, r.err)
		}
		if d, ok := service.AsDegraded(r.err); ok && (best == nil || d.Weight > best.Weight) {
			d.Reason = r.member.Name + ": " + d.Reason
			best = &d
		}
	}
	switch {
	case unmade != nil:
		return true, unmade
	case best != nil:
		return true, *best
	}
	return true, errors.New("none of them passes: " + strings.Join(reasons, "; "))
}
