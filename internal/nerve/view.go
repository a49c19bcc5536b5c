package nerve

import (
	"time"

	"smartstack/internal/service"
)

// view is what the one with the turn lets others see of it. It is immutable.
type view struct {
	known    bool
	level    int // as decided
	since    time.Time
	check    string // that the decision comes from
	why      string // the level is not whole
	held     hold
	raw      int // the level by the checks alone, while held
	up       bool
	warmed   time.Time
	weight   service.Int
	starting bool // the start hook runs
	startErr string
	flaps    flaps
}

// shownCheck is the same of one check.
type shownCheck struct {
	level int
	since time.Time // of the level
	inRow int       // results against the level
	err   error     // of the newest call
}

// show publishes what has changed.
func (u *unit) show() {
	j := u.judge
	v := view{
		known: j.known, level: j.level, since: j.since, check: j.check, why: text(j.why),
		held: j.held, raw: j.raw, up: u.up, warmed: u.warmed,
		starting: u.starting != nil, startErr: text(u.startErr), flaps: j.past.flaps,
	}
	if want := u.want.Load(); want != nil {
		v.weight = want.Backend.Weight
	}
	if v != *u.view.Load() {
		kept := v // only what is kept costs memory
		u.view.Store(&kept)
	}
	for i := range j.heard {
		u.probes[i].show(&j.heard[i])
	}
}

func (p *probe) show(o *opinion) {
	if !o.known {
		return
	}
	old := p.shown.Load()
	now := shownCheck{level: o.level, inRow: max(o.health.up.against, o.health.well.against), err: o.err}
	if old != nil && old.level == now.level {
		if now.err == nil && old.err == nil && old.inRow == now.inRow {
			return
		}
		now.since = old.since
	} else {
		now.since = time.Now()
	}
	kept := now
	p.shown.Store(&kept)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
