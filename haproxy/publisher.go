package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy/preflight"
)

const (
	// maxChecks bounds the checks that one write may cost while the services
	// at fault are looked for.
	maxChecks = 60
	// recheckAfter is when something that was refused is tried again although
	// nothing of it changed: what it needs (a certificate, a name) may be there
	// by then.
	recheckAfter = time.Minute
)

// publisher puts models into the file, through the check. It belongs to one
// goroutine at a time: the output's, or the job that it has started.
type publisher struct {
	target *target
	hook   hook
	writes bool
	// check looks at the text staged at path; nil = there is none. An error
	// that is a refusal blames the text, any other the check itself.
	check  func(ctx context.Context, path string, text []byte) (checkedPath string, err error)
	always bool // check even what is proven
	// faults finds what a check cannot know in a text that replaces running; nil =
	// it is not asked.
	faults func(text, running []byte) []preflight.Fault
	hosts  *hostCache // finds names without an address; nil = nobody is asked

	known    bool   // what the file says is known, and seen is valid
	says     *Model // what we wrote last, and the file still says; nil = text is what it says
	text     []byte
	seen     stamp
	ours     stamp               // of what we have put there, or found to say what we want
	accepted map[string]*Section // what each service has in the file
	preamble []byte              // what it says outside of them; nil = not known
	shared   []byte
	safe     []byte       // what that was before HAProxy was to load another one; nil = it has loaded it, or nothing is known
	outside  *outsideHold // nil = the file has there what is wanted
	loose    bool         // a check has passed, and no line refers to a server by name
	holds    map[string]*hold
	struck   strikes
	striker  striker
	muter    muter
	heldAt   time.Time
}

// published is what came of one publish. It is immutable.
type published struct {
	model   Model // what the file says now; valid when err is nil
	holds   []Held
	struck  strikes
	mute    startWords
	outside error // what is kept back outside of the services; nil = nothing
	later   bool  // some names are still being looked up
	due     bool  // HAProxy may have to load it
	wrote   bool
	took    time.Duration
	err     error
}

// look reads the file when it is not the one that was seen last, and reports
// whether somebody else has changed what it says.
func (p *publisher) look() (foreign bool, err error) {
	if !p.writes {
		return false, nil
	}
	if p.known {
		now, err := p.target.stat()
		if err != nil || now == p.seen {
			return false, err
		}
	}
	text, seen, err := p.target.read()
	if err != nil {
		return false, err
	}
	foreign = p.known && !sameLines(text, p.content())
	if foreign || !p.known {
		p.text, p.says = text, nil
	}
	p.known, p.seen = true, seen
	return foreign, nil
}

// content returns what the file says. What we wrote is not in memory a second
// time.
func (p *publisher) content() []byte {
	if p.says == nil {
		return p.text
	}
	return p.says.Render()
}

// isSaid reports whether the file says m already.
func (p *publisher) isSaid(m Model) bool {
	if p.says == nil {
		return sameLines(m.Render(), p.text)
	}
	return p.says.saysTheSame(m)
}

// adopt takes what the file of an earlier run says as accepted: that of a synapse
// of ours also outside of the services.
func (p *publisher) adopt(preamble []byte, sections []*Section) {
	if bytes.HasPrefix(p.text, []byte(header)) {
		p.preamble = preamble
	}
	p.accepted = make(map[string]*Section, len(sections))
	for _, s := range sections {
		p.accepted[s.Service] = s
	}
}

// publish makes the file say what want says, but for services that HAProxy
// refuses. commit is called with what is about to go live, and reports
// whether HAProxy may have to load that.
func (p *publisher) publish(ctx context.Context, want Model, now time.Time, commit func(Model) (due bool)) published {
	mute, later := p.hosts.wordsFor(ctx, want, now)
	done := p.put(ctx, p.muter.apply(want, mute), now, commit)
	if errors.Is(done.err, errKilled) && p.hosts.doubts(want, now) {
		// HAProxy may have waited for names that were found soon before.
		mute, later = p.hosts.wordsFor(ctx, want, now)
		done = p.put(ctx, p.muter.apply(want, mute), now, commit)
	}
	done.mute, done.later = mute, later
	return done
}

// put is publish for what HAProxy can read without waiting.
func (p *publisher) put(ctx context.Context, want Model, now time.Time, commit func(Model) (due bool)) published {
	if err := p.target.claim(); err != nil {
		return published{err: err}
	}
	if _, err := p.look(); err != nil {
		return published{err: err}
	}
	p.releaseHolds(want, now)
	before := p.heldCount()
	m, staged, err := p.settle(ctx, want)
	if err != nil {
		return published{err: err, holds: p.held(), struck: p.struck}
	}
	if p.heldCount() > before || before == 0 {
		p.heldAt = now
	}
	p.hook.at(atChecked)
	done := published{model: m, holds: p.held(), struck: p.struck, outside: p.outsideErr()}
	if staged == nil {
		// What is carried over from the file proves nothing about it.
		if p.ours != p.seen && !m.carries() {
			p.target.setOurs(p.seen)
			p.ours = p.seen
		}
		p.accept(m, p.says)
		if p.says != nil {
			p.says = &m
		}
		return done
	}
	done.due = commit(m)
	p.target.setOurs(p.ours, staged.stamp)
	p.hook.at(atDue)
	if p.seen, err = staged.commit(); err != nil {
		p.known = false // whatever is there now has to be read
		return published{err: err, holds: done.holds, struck: done.struck}
	}
	p.ours = p.seen
	p.hook.at(atLive)
	p.accept(m, p.says)
	p.says, p.text = &m, nil
	done.wrote = true
	return done
}

// releaseHolds gives services another chance whose wanted section is not the
// refused one any more, and all of them after a while.
func (p *publisher) releaseHolds(want Model, now time.Time) {
	late := now.Sub(p.heldAt) >= recheckAfter
	p.releaseOutside(want, late)
	if late {
		p.holds, p.struck = nil, nil
		return
	}
	p.struck = p.struck.of(want)
	if len(p.holds) == 0 {
		return
	}
	wanted := make(map[string]*Section, len(want.Sections))
	for _, s := range want.Sections {
		wanted[s.Service] = s
	}
	maps.DeleteFunc(p.holds, func(name string, h *hold) bool {
		s := wanted[name]
		return s == nil || !bytes.Equal(s.Text, h.refused.Text) || !slices.Equal(s.Shared, h.refused.Shared)
	})
}

// settle finds the largest part of want that HAProxy accepts, and stages it.
// staged is nil when the file says it already.
func (p *publisher) settle(ctx context.Context, whole Model) (m Model, s *staged, err error) {
	checks := 0
	for {
		want := p.withOutside(p.striker.apply(whole, p.struck))
		m = withHolds(want, p.holds)
		if p.isSaid(m) {
			return m, nil, nil
		}
		if s, err = p.target.stage(m); err != nil {
			return m, nil, err
		}
		p.hook.at(atStaged)
		if p.check == nil || !p.always && p.proven(m) {
			return m, s, nil
		}
		checks++
		text := m.Render()
		path, err := p.check(ctx, s.Path(), text)
		if err == nil {
			path, err = s.Path(), p.mayRun(s.Path(), text)
		}
		if err == nil {
			p.loose = !refersToServers(text)
			return m, s, nil
		}
		staged := s.Path()
		err = errors.Join(err, s.discard())
		refusal, ok := errors.AsType[*commandError](err)
		if !ok || !refusal.Refused || checks >= maxChecks {
			return m, nil, fmt.Errorf("the new configuration could not be checked and is not written: %w", err)
		}
		found := blame(m, path, refusal.Output)
		refusal.Line = strings.ReplaceAll(refusal.Line, staged, p.target.path)
		refusal.Output = strings.ReplaceAll(alerts(refusal.Output), staged, p.target.path)
		if err := p.keepBack(ctx, want, found, refusal, &checks); err != nil {
			return m, nil, err
		}
	}
}

// keepBack leaves out of the next attempt what the refusal is about, as far as
// that is found.
func (p *publisher) keepBack(ctx context.Context, want Model, found []blamed, refusal *commandError, checks *int) error {
	if p.blameAndHold(want, found) {
		return nil
	}
	cannotRun := errors.Is(refusal, errCannotRun) // its lines are known, and no service is left that could be kept back
	isOutside := cannotRun || slices.ContainsFunc(found, func(b blamed) bool { return b.service == "" })
	if isOutside && p.holdOutside(want, refusal) {
		return nil
	}
	if cannotRun {
		return fmt.Errorf("the new configuration is not written: %w", refusal)
	}
	err := p.bisect(ctx, want, refusal, checks)
	if err != nil && p.holdOutside(want, refusal) {
		return nil
	}
	return err
}

// blameAndHold leaves the servers out that are blamed, and holds the services
// of which more is. It reports whether that changes anything: not when something
// else is blamed too, or only services that are held already.
func (p *publisher) blameAndHold(want Model, found []blamed) bool {
	held := 0
	for _, b := range found {
		if b.service == "" {
			return false
		}
		if struck, ok := p.struck.with(want, b); ok && p.holds[b.service] == nil {
			p.struck = struck
			held++
			continue
		}
		if p.holds[b.service] == nil && p.hold(want, b) {
			held++
		}
	}
	return held > 0
}

func (p *publisher) hold(want Model, b blamed) bool {
	i := slices.IndexFunc(want.Sections, func(s *Section) bool { return s.Service == b.service })
	if i < 0 {
		return false
	}
	if p.holds == nil {
		p.holds = map[string]*hold{}
	}
	p.holds[b.service] = newHold(want.Sections[i], p.accepted[b.service], b.reason, b.inShared)
	return true
}

// accept remembers m as what the file says. was is what it said before, as far as
// that is what we wrote; nil = it is not.
func (p *publisher) accept(m Model, was *Model) {
	changed := m.Sections
	if was != nil {
		changed = changedSections(was.Sections, m.Sections)
	}
	if len(changed) == len(m.Sections) {
		p.accepted = make(map[string]*Section, len(m.Sections)) // maybe of other services
	}
	for _, s := range changed {
		p.accepted[s.Service] = s
	}
	if p.safe == nil && !sameLines(p.preamble, m.Preamble) {
		p.safe = p.preamble
	}
	p.preamble, p.shared = m.Preamble, m.SharedFrontend
}

// keepSpare makes the spare, if it is we who know what the file says.
func (p *publisher) keepSpare() error {
	if p.says == nil {
		return nil
	}
	return p.target.keepSpare(*p.says)
}

// close ends what goes on, and gives the file free for another synapse.
func (p *publisher) close() {
	p.hosts.close()
	p.target.dropSpare()
	p.target.release()
}

func (p *publisher) heldCount() int {
	n := len(p.holds) + len(p.struck)
	if p.outside != nil {
		n++
	}
	return n
}

// held lists the servers that are left out, then the services in quarantine.
func (p *publisher) held() []Held {
	list := p.struck.held()
	for _, name := range slices.Sorted(maps.Keys(p.holds)) {
		h := p.holds[name]
		list = append(list, Held{Service: name, Reason: h.reason, LeftOut: h.kept == nil})
	}
	return list
}
