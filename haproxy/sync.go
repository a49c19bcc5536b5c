package haproxy

import (
	"context"
	"maps"
	"slices"
	"time"
)

// syncFunc is Runtime.Sync.
type syncFunc func(ctx context.Context, want Model, loaded func(service string) []byte) (Result, error)

// syncServers lets the socket half do its part.
func (m *memory) syncServers(ctx context.Context) {
	if m.sync == nil || len(m.want.Sections) == 0 && !m.met {
		m.downFrom = time.Time{} // with nothing to look after nobody misses HAProxy
		m.faults.drop("socket")
		return
	}
	if again := m.syncOnce(ctx); again {
		m.syncOnce(ctx) // now that it is known what the process has loaded, or refused
	}
}

func (m *memory) syncOnce(ctx context.Context) (again bool) {
	loaded, want := m.loaded, m.want
	if m.isReloading(time.Now()) {
		loaded = nil
		if m.runtime != nil {
			m.runtime.greet()
		}
	}
	if m.runtime != nil && loaded != m.syncedTo {
		m.runtime.compareAll() // against what was not known before
	}
	res, err := m.sync(ctx, want, func(service string) []byte {
		if loaded == nil {
			return nil
		}
		text, _ := loaded.stanzas.of(service)
		return text
	})
	now := time.Now()
	if len(res.Steps) > 0 {
		m.log.Info("changed HAProxy over its socket", "rev", m.snapshot.Rev, "services", res.services(), "reason", res.String(), "steps", res.steps(), "took", res.Took.Round(time.Microsecond).String())
	}
	if len(res.Met) > 0 {
		m.clearStates()
		m.metProcess(res.Met, now)
	}
	adopted := m.adoptIDs(res.Kept, now)
	if err != nil {
		if m.downFrom.IsZero() {
			m.downFrom = now
		}
		if m.met || !m.options.Supervise || now.Sub(m.downFrom) >= socketGrace { // else it is being started
			m.faults.begin("socket", "HAProxy cannot be changed over its socket: the file is written all the same", err, now)
		}
		return false
	}
	m.downFrom = time.Time{}
	m.faults.end("socket", now)
	if m.refusals = res.Refusals; len(m.refusals) == 0 {
		m.asked, m.useless = "", 0 // the last reload has mended them
	}
	if len(res.Met) > 0 {
		return true
	}
	if m.syncedTo = loaded; loaded != nil {
		m.noteSynced(want)
	}
	return res.Again || adopted
}

// adoptIDs makes the ids with which servers run those of the file, and reports
// whether that changes what is wanted.
func (m *memory) adoptIDs(kept []Kept, now time.Time) (adopted bool) {
	for _, k := range kept {
		adopted = k.ID > 0 && m.composer.Adopt(k.Service, k.Ref.Server, k.ID) || adopted
	}
	if adopted {
		m.recompose(now)
	}
	return adopted
}

// isReloading reports whether the process that runs may be the one before the
// last reload, which has not loaded the file: the command of a reload ends before
// the new process runs.
func (m *memory) isReloading(now time.Time) bool {
	began := m.lastReload.At.Add(-m.lastReload.Took)
	return m.out.deps.Reload == nil && m.metAt.Before(began) && m.lastReload.Err == "" && now.Sub(m.lastReload.At) < settleTime
}

// loadsUntil is until when the file stays as it is because a process may be
// loading it: which of two files that was, nobody could tell, and only one more
// reload would make it sure. Zero = nobody loads it.
func (m *memory) loadsUntil(now time.Time) time.Time {
	if m.sync == nil || !m.met || !m.downFrom.IsZero() || !m.isReloading(now) {
		return time.Time{}
	}
	return m.lastReload.At.Add(settleTime)
}

// metProcess takes note of a HAProxy that was not there before. It has loaded
// the file, and nothing of what the one before it was told.
func (m *memory) metProcess(met []*Met, now time.Time) {
	first := !m.met
	m.met, m.metAt = true, now
	m.noteBare(met, now)
	switch {
	case m.loaded == nil:
		if !m.strange.IsZero() {
			m.unsure = met
		}
		return
	case m.file == nil && !first:
		m.loaded, m.unknown = nil, "HAProxy was restarted while synapse started, so what it has loaded is not known"
		return
	case first: // its servers may have been changed by the synapse before us
		m.doubt(met, false, now)
		return
	case m.lastReload.At.After(m.lastWrite) || now.Sub(m.lastWrite) > loadTime:
		m.loaded = m.file
	default:
		m.loaded, m.unknown = nil, "HAProxy was restarted while the file was written, so it may have loaded the one before"
	}
	m.log.Info("a new HAProxy process runs", "reload", m.lastReload.At.After(now.Add(-loadTime)))
	if m.loaded != nil {
		m.doubt(met, true, now)
	}
}

// noteBare takes note of services that run in HAProxy although nothing tells
// their servers yet: a reload would leave them without any.
func (m *memory) noteBare(met []*Met, now time.Time) {
	m.bare = nil
	for _, s := range m.want.Sections {
		for _, p := range met {
			if s.Bare && len(p.Backends[s.BackendName]) > 0 {
				m.bare, m.bareUntil = append(m.bare, s.Service), now.Add(bareGrace)
			}
		}
	}
}

// waitForBare returns until when a reload must wait for services that it would
// empty.
func (m *memory) waitForBare() time.Time {
	for _, s := range m.want.Sections {
		if s.Bare && slices.Contains(m.bare, s.Service) {
			return m.bareUntil
		}
	}
	return time.Time{}
}

// doubt looks for signs that a process has not loaded the file. A reload mends
// that, or not: then the next ones come ever more rarely.
func (m *memory) doubt(met []*Met, started bool, now time.Time) {
	was := m.beside
	m.beside = map[string]bool{}
	for _, p := range met {
		maps.Copy(m.beside, p.beside(*m.loaded))
	}
	for _, p := range met {
		odd := p.odd(*m.loaded, m.want, started)
		for name := range m.beside {
			if odd == "" && started && !was[name] {
				odd = "it has the backend " + name + ", which no file had before"
			}
		}
		if odd != "" {
			m.loaded, m.unknown = nil, "HAProxy has not loaded the file: "+odd
			m.odd++
			m.oddUntil = now
			if m.odd > 1 {
				m.oddUntil = now.Add(backoff(uselessDelay, longestReloadDelay, m.odd-1))
			}
			return
		}
	}
	m.odd = 0
}

// noteSynced takes note of what HAProxy now runs without having loaded it. The
// last sync, to want, has compared everything with m.loaded, or what has changed
// since.
func (m *memory) noteSynced(want Model) {
	if m.loaded == nil {
		return
	}
	at, alike := apart(m.loaded.sections, want.Sections)
	if alike && len(at) == 0 {
		return
	}
	var next *content
	edit := func() *content {
		if next == nil {
			next = m.loaded.clone()
		}
		return next
	}
	all := m.loaded.stanzas.count() == len(want.Sections)
	for i, s := range want.Sections {
		if alike {
			if len(at) == 0 || at[0] != i {
				continue
			}
			at = at[1:]
		}
		was, there := m.loaded.stanzas.of(s.Service)
		switch {
		case !there, !sameText(was, s.Text) && (m.refusals[s.Service] != "" || !sameStructure(was, s.Text)):
			all = false
			continue
		case !sameText(was, s.Text):
			edit().stanzas.set(s.Service, s.Text)
		}
		if alike {
			edit().sections[i] = s
		}
	}
	switch {
	case !alike && all:
		edit().sections = want.Sections
	case !alike && next != nil:
		next.sections = nil // some are others by now
	}
	if next != nil {
		m.loaded, m.syncedTo = next, next
	}
}
