package haproxy

import "time"

// The timing of files and reloads. Server changes over the socket wait for
// nothing.
const (
	quiet       = 100 * time.Millisecond // without a change, then the file is written
	longestWait = time.Second            // after the first change, whatever happens
	calm        = time.Second            // after so long without a change the next is written at once
	saveDelay   = 5 * time.Second        // from a change to the state file
	saveEvery   = time.Minute            // its age is a sign of life to others
	probeEvery  = time.Second            // how soon a HAProxy that restarted is noticed
	lookEvery   = 10 * time.Second       // how soon a file that somebody else changed is noticed
	jobPoll     = 20 * time.Millisecond  // how often a running command, or a new HAProxy, is looked at

	firstFileRetry   = time.Second
	longestFileRetry = time.Minute
	// socketGrace is how long a HAProxy that does not answer is left alone:
	// while it restarts, a reload is the last thing it needs.
	socketGrace = 3 * time.Second
	// uselessDelay is the first delay before a reload is repeated that did not
	// change what HAProxy runs.
	uselessDelay = 5 * time.Second
	// settleTime is how long HAProxy may go on as before after a reload.
	settleTime = 2 * time.Second
	// bareGrace is how long a reload waits for registries that have said nothing
	// yet, when it would leave their services without servers.
	bareGrace = time.Minute
	// loadTime is longer than HAProxy takes from reading the file to being
	// noticed as a new process.
	loadTime = 5 * time.Second
)

// pending is the time of changes that are not in the file yet.
type pending struct {
	first, last time.Time
	atOnce      bool // the first of them came after a calm time
}

// note takes note of a change.
func (p *pending) note(now time.Time) {
	if p.first.IsZero() {
		p.first = now
		p.atOnce = p.last.IsZero() || now.Sub(p.last) >= calm
	} else {
		p.atOnce = false
	}
	p.last = now
}

// clear takes note that everything is in the file.
func (p *pending) clear() { p.first = time.Time{} }

// due tells when the file is to be written. immediate says that nothing else
// brings the change to HAProxy.
func (p *pending) due(immediate bool) time.Time {
	if immediate && p.atOnce {
		return p.first
	}
	if wait := p.last.Add(quiet); wait.Before(p.first.Add(longestWait)) {
		return wait
	}
	return p.first.Add(longestWait)
}

// step is the next thing to do.
type step int

const (
	stepNone step = iota
	stepWrite
	stepReload
	stepSave
	stepSpare
)

// situation is everything that decides about the next step.
type situation struct {
	now  time.Time
	busy bool // a step is still under way

	stale     bool // the file does not say what is wanted, or may not
	pending   pending
	immediate bool      // there is no socket that brings changes to HAProxy
	fileRetry time.Time // a write has failed: not before; zero = it has not
	recheck   time.Time // services are in quarantine: tried again then
	loads     time.Time // a new HAProxy may be loading the file until then; zero = none

	reload     bool // there are reasons for one
	notBefore  time.Time
	reloadWait time.Duration // of the limiter

	state     bool // there is a state file
	stateDue  time.Time
	spareDue  time.Time     // the spare is to be made; zero = it is not
	probe     time.Duration // HAProxy or the file is to be looked at again
	nextModel time.Time     // the model changes by itself then; zero = never
}

// decide returns the next step, and how long to wait when there is none (0 =
// until something changes).
func decide(s situation) (step, time.Duration) {
	var again time.Duration
	at := func(t time.Time) {
		if wait := max(t.Sub(s.now), time.Millisecond); !t.IsZero() && (again == 0 || wait < again) {
			again = wait
		}
	}
	if s.probe > 0 {
		at(s.now.Add(s.probe))
	}
	at(s.nextModel)
	if s.busy {
		at(s.now.Add(jobPoll))
		return stepNone, again
	}

	failing := !s.fileRetry.IsZero()
	if s.stale || !s.recheck.IsZero() {
		due := s.recheck
		if s.stale {
			due = s.pending.due(s.immediate)
		}
		if due = later(later(due, s.fileRetry), s.loads); !due.After(s.now) {
			return stepWrite, 0
		}
		at(due)
	}

	// While a newer text is about to be written the reload waits for it; one
	// that cannot be written must not hold up what the file already says.
	if s.reload && (!s.stale || failing) {
		due := later(s.now.Add(s.reloadWait), s.notBefore)
		if !due.After(s.now) {
			return stepReload, 0
		}
		at(due)
	}

	if s.state {
		if !s.stateDue.After(s.now) {
			return stepSave, 0
		}
		at(s.stateDue)
	}
	if !s.stale && !s.spareDue.IsZero() {
		if !s.spareDue.After(s.now) {
			return stepSpare, 0
		}
		at(s.spareDue)
	}
	return stepNone, again
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
