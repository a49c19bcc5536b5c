package filewatch

import (
	"crypto/sha256"
	"errors"
	"time"

	"smartstack/haproxy/master"
)

// The times below are how long nothing may change before a file is believed
// whose writer has not said that it is whole.
const (
	// settle is for a writer that inotify does not see.
	settle = 300 * time.Millisecond
	// openSettle is for one that has the file open.
	openSettle = 5 * time.Second
)

// A file with which HAProxy ends is tried once more at once: somebody may have
// killed HAProxy who knew nothing of the reload. After that it is likely to be the
// file's doing, and each attempt cuts all connections: they become rare.
const (
	firstRevival   = time.Minute
	longestRevival = time.Hour
)

// judge decides what becomes of what is read. It knows no clock, no file and
// no HAProxy.
type judge struct {
	interval     time.Duration // between two reloads
	first, limit time.Duration // before a refused file is tried again: doubling

	now     [sha256.Size]byte // what was read last
	fault   string            // why it cannot be used; empty = it can
	since   time.Time         // when it was first read
	sure    bool              // the writer was done with it
	closed  bool              // a writer was done, since the last look
	open    bool              // the writer has it open
	loaded  [sha256.Size]byte // what HAProxy runs with
	refused [sha256.Size]byte // what it does not want
	again   time.Time         // when that is tried again
	deadly  bool              // HAProxy has ended with it
	delay   time.Duration
	next    time.Time // when the next reload may be
	forced  bool      // somebody wants a reload whatever is there
}

// verdict says what to do.
type verdict struct {
	load bool
	at   time.Time // when to judge again at the latest; zero = on news only
}

// heard takes note of what inotify says of the file.
func (j *judge) heard(k kind) {
	switch k {
	case whole:
		j.closed, j.open = true, false
	case writing:
		j.sure, j.closed, j.open = false, false, true
	case touched:
	}
}

// read takes note of what is there.
func (j *judge) read(r reading, now time.Time) {
	fault := ""
	if r.err != nil {
		fault = r.err.Error()
	}
	if r.torn {
		j.closed = false
	}
	if r.sum != j.now || fault != j.fault || r.torn {
		j.now, j.fault, j.since, j.sure = r.sum, fault, now, false
	} else if j.open && now.Sub(j.since) >= openSettle {
		j.open = false // it has forgotten to close it
	}
	j.sure, j.closed = j.sure || j.closed, false
}

// decide says whether what was read last is to be loaded now.
func (j *judge) decide(now time.Time) verdict {
	var v verdict
	if j.fault != "" || j.now == j.loaded && !j.forced {
		return v
	}
	at := j.next
	if !j.sure && !j.forced {
		wait := settle
		if j.open {
			wait = openSettle
		}
		at = later(at, j.since.Add(wait))
	}
	if j.now == j.refused && !j.forced {
		at = later(at, j.again)
	}
	if at.After(now) {
		v.at = at
		return v
	}
	v.load = true
	return v
}

// settledFault returns why there is nothing to use, once that has been so for
// long enough to be no moment between two steps of a writer.
func (j *judge) settledFault(now time.Time) (fault string, at time.Time) {
	if j.fault == "" {
		return "", time.Time{}
	}
	if due := j.since.Add(settle); due.After(now) {
		return "", due
	}
	return j.fault, time.Time{}
}

// done takes note of how the load went that was decided on.
func (j *judge) done(err error, now time.Time) {
	j.forced = false
	j.next = now.Add(j.interval)
	if err == nil {
		j.loaded, j.refused, j.delay = j.now, [sha256.Size]byte{}, 0
		return
	}
	if j.now != j.refused {
		j.refused, j.delay, j.deadly = j.now, 0, false
	}
	first, limit := j.first, j.limit
	switch {
	case !errors.Is(err, master.ErrEnded):
		j.deadly = false
	case !j.deadly:
		j.deadly, j.delay, j.again = true, 0, now
		return
	default:
		first, limit = firstRevival, longestRevival
	}
	j.delay = min(max(2*j.delay, first), limit)
	j.again = now.Add(j.delay)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
