package watchers

import (
	"slices"
	"strings"

	"smartstack/internal/service"
)

// child is what is known of one source. Values are handed to resolvers.
type child struct {
	name    string
	update  service.Update
	spoken  bool  // update is something it said, in this run or an earlier one
	decided bool  // it has spoken or failed in this run
	err     error // it has failed since it spoke
}

// resolver makes one update of those of the sources, which come in the order
// of the file. from names the source that was picked, if one was; ok is false
// when there is nothing to be said, so that what was said before stays. A
// resolver may keep its pick; it belongs to one goroutine.
type resolver interface {
	resolve(children []child) (u service.Update, from string, ok bool)
}

// waiting reports whether somebody has neither spoken nor failed.
func waiting(children []child) bool {
	return slices.ContainsFunc(children, func(c child) bool { return !c.decided })
}

func find(children []child, name string) child {
	i := slices.IndexFunc(children, func(c child) bool { return c.name == name })
	return children[i]
}

// nothing is the resolver base.
type nothing struct{}

func (nothing) resolve(children []child) (service.Update, string, bool) {
	return service.Update{Aside: aside(children, "", "is not asked for: the resolver is base, which takes none")}, "", true
}

// union is everybody's backends.
type union struct{}

func (union) resolve(children []child) (service.Update, string, bool) {
	if waiting(children) {
		return service.Update{}, "", false
	}
	return merge(children, func(_ int, b service.Backend) (service.Backend, bool) { return b, true })
}

// prefer is the backends of the first in its order, and those of the others as
// backups, each address once.
type prefer struct{ order []string }

func (p prefer) resolve(children []child) (service.Update, string, bool) {
	if waiting(children) {
		return service.Update{}, "", false
	}
	ordered := make([]child, 0, len(children))
	for _, name := range p.order {
		ordered = append(ordered, find(children, name))
	}
	owner := map[string]int{}
	return merge(ordered, func(rank int, b service.Backend) (service.Backend, bool) {
		if first, taken := owner[b.Address()]; taken && first != rank {
			return b, false
		}
		owner[b.Address()] = rank
		b.Backup = b.Backup || rank > 0
		return b, true
	})
}

// merge joins the last words of all children that ever spoke, each backend as
// change returns it.
func merge(children []child, change func(rank int, b service.Backend) (service.Backend, bool)) (service.Update, string, bool) {
	var out service.Update
	var all []service.Backend
	spoken := false
	for rank, c := range children {
		if !c.spoken {
			continue
		}
		spoken = true
		for b := range c.update.Backends.All() {
			if b, ok := change(rank, b); ok {
				all = append(all, b)
			}
		}
		if len(out.Generators) == 0 {
			out.Generators = c.update.Generators
		}
		out.Rejected = append(out.Rejected, c.named(c.update.Rejected)...)
		out.RejectedTotal += c.update.RejectedTotal
		out.Idle = append(out.Idle, c.named(c.update.Idle)...)
		out.IdleTotal += c.update.IdleTotal
	}
	out.Backends = service.NewSet(slices.Values(all))
	out.Emptied = emptied(children)
	out.Aside = aside(children, "", "")
	out.Rejected = out.Rejected[:min(len(out.Rejected), service.MaxRejected)]
	out.Idle = out.Idle[:min(len(out.Idle), service.MaxRejected)]
	return out, "", spoken
}

// emptied reports whether each source says that its owner took all away.
func emptied(children []child) bool {
	return !slices.ContainsFunc(children, func(c child) bool { return !c.update.Emptied || c.err != nil })
}

// named returns the child's entries with its name before each.
func (c child) named(entries []service.Rejection) []service.Rejection {
	list := slices.Clone(entries)
	for i := range list {
		list[i].Entry = c.name + ": " + list[i].Entry
	}
	return list
}

// said returns the word of one of the children as a whole. reason is why the
// others' backends are left out.
func said(children []child, c child, reason string) (service.Update, string, bool) {
	u := c.update
	u.Rejected, u.Idle = c.named(u.Rejected), c.named(u.Idle)
	u.Aside = aside(children, c.name, reason)
	return u, c.name, true
}

// aside tells which backends of the children are left out: those that they
// leave out themselves, and with a reason all of those that are not of the one
// that was picked.
func aside(children []child, picked, reason string) []service.Aside {
	var list []service.Aside
	for _, c := range children {
		for _, a := range c.update.Aside {
			a.Source = strings.TrimSuffix(c.name+"."+a.Source, ".") // of one that is several itself
			list = append(list, a)
		}
		if reason != "" && c.name != picked && c.update.Backends.Len() > 0 {
			list = append(list, service.Aside{Source: c.name, Backends: c.update.Backends, Reason: reason})
		}
	}
	return list
}

// sequential is the first in its order that is well and has backends.
type sequential struct {
	order   []string
	current string // empty = nobody was picked yet
}

func (s *sequential) resolve(children []child) (service.Update, string, bool) {
	healthy := true
	for _, name := range s.order {
		c := find(children, name)
		if !c.decided {
			return service.Update{}, "", false // it may be the one, and it is better than those behind it
		}
		if c.err == nil && c.update.Backends.Len() > 0 {
			s.current = name
			return said(children, c, notFollowed(c.name))
		}
		healthy = healthy && c.err == nil
	}
	switch {
	case s.current != "":
		return s.last(children, s.current)
	case healthy: // all are honestly empty
		return s.last(children, s.order[0])
	}
	return service.Update{}, "", false
}

// last is the word of one source when none is better.
func (s *sequential) last(children []child, name string) (service.Update, string, bool) {
	u, from, ok := said(children, find(children, name), notFollowed(name))
	u.Emptied = emptied(children)
	return u, from, ok
}

func notFollowed(followed string) string {
	return "is not the one that is followed now, that is " + followed + " (resolver sequential or fallback)"
}

// anyWell reports whether a source is known to work. Without one, an old word
// must not be said again as if it were news.
func anyWell(children []child) bool {
	return slices.ContainsFunc(children, func(c child) bool { return c.decided && c.err == nil })
}

// toggle is the source that a file elsewhere says.
type toggle struct {
	current string // what was said last came from here
	wanted  string // empty = current
}

func (t *toggle) resolve(children []child) (service.Update, string, bool) {
	if i := slices.IndexFunc(children, func(c child) bool { return c.name == t.wanted }); i >= 0 && children[i].spoken {
		t.current = t.wanted
	}
	c := find(children, t.current)
	if !c.spoken || !c.decided || c.err != nil && !anyWell(children) {
		return service.Update{}, "", false
	}
	return said(children, c, "is not the one that the toggle has picked, that is "+c.name+" (resolver s3_toggle)")
}
