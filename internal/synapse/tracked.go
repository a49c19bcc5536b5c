package synapse

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"smartstack/internal/service"
)

// tracked is what the Hub knows of one service. Only the Hub's goroutine uses
// it.
type tracked struct {
	def  Definition
	log  *slog.Logger
	feed *feed
	next *feed // takes over from feed when it has spoken

	place int // in the Hub's order

	last     said    // the word that the verdict follows from
	verdict  verdict // the decision in force
	settled  bool    // it may be shown: its watcher has spoken, or had its time
	spoken   bool    // its watcher has spoken
	deadline time.Time
	handover time.Time // when next takes over even without a word
	confirm  uint64    // a mass removal counts from this run of the feed on; 0 = none is waiting
	doubted  time.Time // when the registry told of that removal; zero = it did not
	stale    health

	current *service.Service // what snapshots show
}

// hear takes what the feeds have said since the last call, and reports whether
// the service looks different now.
func (t *tracked) hear() bool {
	if t.next != nil {
		t.hearNext()
	}
	if h, ok := t.feed.health.Take(); ok {
		t.hearHealth(h)
	}
	s, ok := t.feed.updates.Take()
	if !ok {
		return false
	}
	return t.take(s)
}

// hearNext lets the new source take over once it has said something.
func (t *tracked) hearNext() {
	s, ok := t.next.updates.Take()
	if !ok && time.Now().Before(t.handover) {
		return
	}
	t.feed.stop()
	t.feed, t.next, t.confirm = t.next, nil, 0
	if !ok {
		t.log.Warn("the new source has not spoken in time: the backends of the old one stay until it does")
		return
	}
	t.feed.updates.Put(s)
}

func (t *tracked) hearHealth(h health) {
	switch {
	case h.err != nil && t.stale.err == nil:
		t.stale = h
	case h.err == nil && t.stale.err != nil:
		t.log.Info("the source can be followed again", "after", h.at.Sub(t.stale.at).Round(time.Millisecond))
		t.stale = health{}
	}
}

// take decides about one word of the watcher.
func (t *tracked) take(s said) bool {
	next := t.def.Policy.decide(s.update, t.verdict)
	if t.confirm != 0 && s.run < t.confirm {
		return false // still a word of the run that is in doubt
	}
	if t.confirm == 0 && t.def.Policy.suspicious(t.verdict, next) {
		t.confirm, t.doubted = t.feed.reread(), s.update.Noticed
		t.log.Warn("most backends vanished at once: reading the source again before believing it",
			"was", t.verdict.listed.Len(), "would_be", next.listed.Len())
		return false
	}
	if t.confirm != 0 {
		t.log.Info("the source was read again", "was", t.verdict.listed.Len(), "now", next.listed.Len())
		t.confirm, s.update.Noticed = 0, service.FirstNoticed(t.doubted, s.update.Noticed)
	}
	t.tell(s.update, next)
	t.last, t.spoken, t.settled = s, true, true
	return t.show(next, s.update, s.at)
}

// tell logs what a person may wonder about, once per change.
func (t *tracked) tell(u service.Update, next verdict) {
	const most = 5
	news := 0
	for _, r := range u.Rejected {
		if slices.Contains(t.last.update.Rejected, r) {
			continue
		}
		if news++; news <= most {
			t.log.Warn("an entry of the registry is left out", "entry", r.Entry, "reason", r.Reason)
		}
	}
	if news > most {
		t.log.Warn("more entries of the registry are left out", "more", news-most, "in_all", u.RejectedTotal)
	}
	if !slices.Equal(next.notes, t.verdict.notes) {
		for _, note := range next.notes {
			t.log.Warn(note)
		}
	}
}

// settle ends the wait for a silent watcher with the best that is on record.
func (t *tracked) settle() {
	t.settled = true
	v := verdict{origin: service.Unknown}
	var known Known
	if t.def.LastKnown != nil {
		known = t.def.LastKnown()
	}
	switch {
	case known.Backends.Len() > 0:
		v = verdict{origin: service.LastKnown, listed: known.Backends, serving: known.Backends}
	case len(t.def.Policy.DefaultServers) > 0:
		v = t.def.Policy.decide(service.Update{}, verdict{})
	}
	t.log.Warn("the source has not answered yet: going on without it", "origin", v.origin, "backends", v.serving.Len())
	t.show(v, service.Update{Generators: known.Generators}, time.Now())
}

// show puts v into force, and reports whether that changes what outputs see.
func (t *tracked) show(v verdict, u service.Update, at time.Time) bool {
	old := t.current
	t.verdict = v
	if old != nil && old.Origin == v.origin && old.Backends.Equal(v.serving) && maps.EqualFunc(old.Generators, u.Generators, slices.Equal) {
		return false
	}
	t.logChange(old, v)
	t.current = &service.Service{
		Name: t.def.Name, Backends: v.serving, Generators: u.Generators, Origin: v.origin, Changed: at, Noticed: u.Noticed,
	}
	return true
}

// logChange names what came and went, up to a readable number.
func (t *tracked) logChange(old *service.Service, v verdict) {
	var before service.Set
	if old != nil {
		before = old.Backends
	}
	t.log.Info("backends changed", "origin", v.origin, "backends", v.serving.Len(),
		"added", names(v.serving, before), "removed", names(before, v.serving))
}

// names lists the addresses in s that are not in o in the same form.
func names(s, o service.Set) string {
	const most = 8
	there := make(map[service.Backend]struct{}, o.Len())
	for b := range o.All() {
		there[b] = struct{}{}
	}
	var list []string
	for b := range s.All() {
		if _, ok := there[b]; !ok {
			list = append(list, b.Address())
		}
	}
	if len(list) > most {
		return fmt.Sprintf("%v and %d more", list[:most], len(list)-most)
	}
	return fmt.Sprint(list)
}
