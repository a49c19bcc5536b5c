package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// job is one step under way on a goroutine of its own, so that a slow disk or
// command holds up nothing that goes over the socket.
type job struct {
	step   step
	done   chan struct{}
	cancel context.CancelFunc
	finish func(m *memory) // valid once done is closed; called by the owner of m
}

// start begins a step. Its end is for await and finish to see.
func (m *memory) start(ctx context.Context, next step) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j := &job{step: next, done: make(chan struct{}), cancel: cancel}
	var run func(context.Context) func(*memory)
	switch next {
	case stepWrite:
		run = m.writeJob()
	case stepReload:
		m.carryStates(ctx)
		run = m.reloadJob()
	case stepSpare:
		run = m.spareJob()
	default:
		run = m.saveJob()
	}
	m.job = j
	h := m.out.hook
	go func() {
		defer close(j.done)
		h.at(atJob)
		j.finish = run(ctx)
	}()
}

// await waits for the job: to its end when nothing else could be done in the
// meantime, else for a moment. It reports whether the job has ended.
func (m *memory) await(ctx context.Context) bool {
	var soon <-chan time.Time
	if m.sync != nil {
		timer := time.NewTimer(jobPoll)
		defer timer.Stop()
		soon = timer.C
	}
	select {
	case <-m.job.done:
		return true
	case <-soon:
		return false
	case <-ctx.Done():
		if m.job.step == stepReload {
			return false // the file is live: whatever loads it may finish
		}
		m.job.cancel() // a check is worth nothing any more, the rest does not listen
		<-m.job.done
		return true
	}
}

// finish takes over the results of a job that has ended.
func (m *memory) finish() {
	if m.job == nil {
		return
	}
	select {
	case <-m.job.done:
		j := m.job
		m.job = nil
		j.cancel()
		j.finish(m)
	default:
	}
}

// writeJob puts the wanted model into the file.
func (m *memory) writeJob() func(context.Context) func(*memory) {
	p, want, rev, loaded, before := m.publisher, m.whole, m.snapshot.Rev, m.loaded, m.file
	reloads := m.options.DoReloads
	return func(ctx context.Context) func(*memory) {
		began := time.Now()
		done := p.publish(ctx, want, time.Now(), func(next Model) (due bool) {
			if due = reloads && (loaded == nil || loaded.differs(next)); due {
				p.target.setDue(true)
			}
			return due
		})
		canceled := ctx.Err() != nil
		file := contentOf(done.model, before)
		done.took = time.Since(began)
		return func(m *memory) { m.wrote(done, &file, want, rev, canceled, time.Now()) }
	}
}

// wrote takes over the result of a write; file is what it says unless there was
// an error.
func (m *memory) wrote(done published, file *content, want Model, rev uint64, canceled bool, now time.Time) {
	m.struck, m.mute = done.struck, done.mute
	m.want = m.wanted()
	m.due = m.due || done.due
	if done.err != nil {
		if canceled {
			return
		}
		m.fileFails++
		m.fileRetry = now.Add(backoff(firstFileRetry, longestFileRetry, m.fileFails))
		m.faults.begin("file", "the file cannot be written: the last good one stays", done.err, now)
		m.count("synapse.haproxy.check_config", !isRefusal(done.err))
		return
	}
	m.faults.end("file", now)
	m.putForeign(done.wrote, file, want, now)
	m.fileFails, m.fileRetry = 0, time.Time{}
	if done.outside != nil {
		m.faults.begin("global, defaults or extra sections", "HAProxy refuses what the configuration says outside of the services: that stays as it was", done.outside, now)
	} else {
		m.faults.end("global, defaults or extra sections", now)
	}
	noteHeld(m.log, m.held, done.holds)
	before := m.file
	m.file, m.fileRev = file, rev
	m.held = done.holds
	m.recheck = time.Time{}
	if len(m.held)+len(m.mute) > 0 || done.outside != nil {
		m.recheck = now.Add(recheckAfter)
	}
	if m.foreign {
		m.recheck = m.strange
	}
	if done.later {
		m.recheck = now.Add(askAgain)
	}
	if sameModel(m.whole, want) {
		m.stale, m.fileRev = false, m.snapshot.Rev
		m.pending.clear()
	}
	if done.wrote {
		m.lastWrite = now
		if m.publisher.seen.size >= spareFrom {
			m.spareDue = now.Add(spareAfter)
		}
		m.count("synapse.haproxy.check_config", true)
		services, reason := file.since(before)
		m.log.Info("wrote the file", "rev", rev, "services", services, "reason", reason, "file", m.options.ConfigFilePath, "took", done.took.Round(time.Microsecond).String())
	}
}

// putForeign takes note that a file which somebody else has written says what we
// want. At the start that may be what it said all along, as long as registries
// have not spoken; and when they have and nothing had to be written, nothing had
// changed.
func (m *memory) putForeign(wrote bool, file *content, want Model, now time.Time) {
	carried := want.carries()
	if m.foreign = carried && now.Before(m.strange); m.foreign || m.strange.IsZero() {
		return
	}
	met := m.unsure
	m.strange, m.unsure = time.Time{}, nil
	if !wrote && !carried && m.unknown == foreignReason {
		m.loaded, m.unknown = file, ""
		m.doubt(met, false, now)
	}
}

func (m *memory) count(metric string, ok bool) {
	status := "success"
	if !ok {
		status = "failed"
	}
	m.out.deps.Count(metric, "status:"+status)
}

// reloadReasons says why HAProxy must load the file; nil = it need not.
func (m *memory) reloadReasons() (list []string, notBefore time.Time) {
	if !m.options.DoReloads || m.file == nil {
		return nil, time.Time{}
	}
	if m.loaded == nil {
		return []string{m.unknown}, m.oddUntil
	}
	list = m.differences()
	if len(list) > 0 {
		if !m.downFrom.IsZero() {
			notBefore = m.downFrom.Add(socketGrace)
		}
		return list, notBefore
	}
	if m.stale { // what the socket refuses may not even be in the file
		return nil, time.Time{}
	}
	refused := m.openRefusals()
	// A reload takes effect some time after its command has ended.
	notBefore = m.lastReload.At.Add(settleTime)
	if strings.Join(refused, "\n") == m.asked {
		notBefore = m.lastReload.At.Add(backoff(uselessDelay, longestReloadDelay, m.useless))
	}
	return refused, notBefore
}

// difference is what reasons said of two contents.
type difference struct {
	loaded, file *content
	list         []string
}

// differences says why HAProxy must load the file. Most of the time neither the
// one nor the other has changed since it was asked last.
func (m *memory) differences() []string {
	if skip := m.isAhead(); skip != nil {
		return reasons(*m.loaded, *m.file, skip)
	}
	if m.compared.loaded != m.loaded || m.compared.file != m.file {
		m.compared = difference{m.loaded, m.file, reasons(*m.loaded, *m.file, nil)}
	}
	return m.compared.list
}

// isAhead tells of which services HAProxy already has over the socket what is
// wanted though not what the file says: the file is behind, or the service is in
// quarantine, and a reload would be a step back. nil = of none.
func (m *memory) isAhead() func(service string) bool {
	if m.sync == nil || !m.stale && len(m.held) == 0 {
		return nil
	}
	ahead := map[string]bool{}
	for _, s := range changedSections(m.file.sections, m.want.Sections) {
		file, inFile := m.file.stanzas.of(s.Service)
		if text, ok := m.loaded.stanzas.of(s.Service); ok && inFile && !sameText(text, file) && sameText(text, s.Text) {
			ahead[s.Service] = true
		}
	}
	return func(service string) bool { return ahead[service] }
}

// openRefusals lists what the socket refused, but for services in quarantine:
// no reload can give them what is not in the file.
func (m *memory) openRefusals() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m.refusals)) {
		if !slices.ContainsFunc(m.held, func(h Held) bool { return h.Service == name && h.Server == "" }) {
			list = append(list, "service "+name+": "+m.refusals[name])
		}
	}
	return list
}

// reloadJob makes HAProxy load the file.
func (m *memory) reloadJob() func(context.Context) func(*memory) {
	list, _ := m.reloadReasons()
	o, deps, file, h := m.options, m.out.deps, m.file, m.out.hook
	refused := strings.Join(m.openRefusals(), "\n")
	run := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeoutCause(ctx, o.ReloadTimeout.Duration(), fmt.Errorf("no result within %v", o.ReloadTimeout.Duration()))
		defer cancel()
		return deps.Reload(ctx)
	}
	if deps.Reload == nil {
		run = func(ctx context.Context) error {
			return shellCommand(ctx, o.ReloadCommand, deps.Env, o.ReloadTimeout.Duration())
		}
	}
	return func(ctx context.Context) func(*memory) {
		began := time.Now()
		h.at(atReload)
		err := run(ctx)
		h.at(atReloaded)
		status := ReloadStatus{At: time.Now(), Took: time.Since(began), Reasons: list}
		return func(m *memory) { m.reloaded(status, err, file, refused) }
	}
}

// settleDue takes note that HAProxy runs what the file says.
func (m *memory) settleDue() {
	m.due = false
	m.publisher.target.setDue(false)
}

// reloaded takes over the result of a reload. One that failed changes nothing
// in what HAProxy is taken to run.
func (m *memory) reloaded(status ReloadStatus, err error, file *content, refused string) {
	m.limiter.done(status.At, err == nil)
	if err != nil {
		m.clearStates()
		m.takeBack(err, file, status.At)
		status.Err = err.Error()
		m.lastReload = status
		m.failedReloads++
		m.out.deps.Count("synapse.haproxy.reload_failed")
		message := "HAProxy could not be reloaded: it goes on with what it has"
		if hasEnded(err) {
			message = "HAProxy has ended when it was to load the file, and is started again"
		}
		m.faults.begin("reload", message, err, status.At,
			"services", servicesIn(status.Reasons), "reason", strings.Join(status.Reasons, "; "), "took", fmt.Sprint(status.Took.Round(time.Millisecond)))
		return
	}
	m.faults.end("reload", status.At)
	m.lastReload, m.loaded, m.unknown = status, file, ""
	m.publisher.safe = nil
	m.reloads++
	if refused != "" && refused == m.asked {
		m.useless++
	} else {
		m.useless = 1
	}
	m.asked = refused
	if !m.stale {
		m.settleDue()
	}
	m.log.Info("reloaded HAProxy", "services", servicesIn(status.Reasons), "reason", strings.Join(status.Reasons, "; "), "took", fmt.Sprint(status.Took.Round(time.Millisecond)))
}

// saveJob writes the state file.
func (m *memory) saveJob() func(context.Context) func(*memory) {
	path, h := m.options.StateFilePath, m.out.hook
	state := m.composer.State(m.snapshot, time.Now())
	return func(context.Context) func(*memory) {
		err := writeState(path, state)
		h.at(atSaved)
		return func(m *memory) {
			now := time.Now()
			if err != nil {
				m.stateDue = now.Add(saveDelay)
				m.faults.begin("state file", "the state file cannot be written", err, now)
				return
			}
			m.stateDue = now.Add(saveEvery)
			m.faults.end("state file", now)
		}
	}
}

// spareJob makes the spare that the next write begins with. It is a help, not a
// promise: without one the whole is written.
func (m *memory) spareJob() func(context.Context) func(*memory) {
	p, h := m.publisher, m.out.hook
	return func(context.Context) func(*memory) {
		err := p.keepSpare()
		h.at(atSpare)
		return func(m *memory) {
			m.spareDue = time.Time{}
			if err != nil {
				m.log.Debug("there is no spare of the file: the next change writes the whole", "err", err)
			}
		}
	}
}

// situation gathers what decides about the next step.
func (m *memory) situation(now time.Time) situation {
	o := m.options
	s := situation{
		now: now, busy: m.job != nil,
		stale: m.stale && o.DoWrites, pending: m.pending, immediate: m.sync == nil,
		fileRetry: m.fileRetry, recheck: m.recheck,
		reloadWait: m.limiter.wait(now),
		state:      o.StateFilePath != "", stateDue: m.stateDue, spareDue: m.spareDue,
		probe: lookEvery, nextModel: m.expires,
	}
	if m.sync != nil {
		s.probe = probeEvery
	}
	if s.loads = m.loadsUntil(now); !s.loads.IsZero() {
		s.probe = jobPoll
	}
	if m.job == nil {
		list, notBefore := m.reloadReasons()
		if len(list) == 0 {
			m.faults.drop("reload") // the one that failed is not needed any more
		}
		if len(list) == 0 && m.loaded != nil && !s.stale && m.due {
			m.settleDue()
		}
		s.reload, s.notBefore = len(list) > 0 && !m.foreign, later(notBefore, m.waitForBare())
	}
	return s
}
