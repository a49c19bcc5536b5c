package haproxy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"smartstack/internal/atomicfile"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

const (
	defaultCheckTimeout  = config.Seconds(10 * time.Second)
	defaultReloadTimeout = config.Seconds(30 * time.Second)
)

// memory is what an Output knows. It belongs to the goroutine that calls
// Apply, but for publisher while a job runs.
type memory struct {
	out      *Output
	options  *Options
	log      *slog.Logger
	composer *Composer
	faults   faults
	job      *job     // nil = none is running
	sync     syncFunc // nil = no socket is used
	runtime  *Runtime // what sync belongs to; nil in tests

	snapshot service.Snapshot
	whole    Model // made from snapshot
	want     Model // whole without the servers that HAProxy refuses, see wanted
	struck   strikes
	striker  striker
	mute     startWords
	muter    muter
	expires  time.Time
	pending  pending

	publisher *publisher
	due       bool      // the note stands that HAProxy is yet to load the file
	stale     bool      // the file may not say what want says
	foreign   bool      // somebody else has written the file, and we have not yet written it again
	strange   time.Time // until when a file that was foreign at the start waits for what registries say of it
	lastWrite time.Time
	spareDue  time.Time // zero = nothing was written since the spare was made
	fileRetry time.Time
	fileFails int
	file      *content // what the file says; nil = not known
	fileRev   uint64
	held      []Held
	recheck   time.Time

	loaded    *content // what HAProxy has loaded or was told since; nil = not known
	syncedTo  *content // what the last sync took for loaded
	unknown   string   // why not
	compared  difference
	odd       int // how often in a row a new process had evidently not loaded the file
	oddUntil  time.Time
	beside    map[string]bool // backends that the last process had and no file of ours
	bare      []string        // services that a reload would empty
	bareUntil time.Time
	limiter   limiter
	refusals  map[string]string // by service: what cannot be done over the socket
	asked     string            // the refusals that the last reload was to mend
	useless   int               // reloads in a row that did not mend them
	met       bool              // a HAProxy has answered on the socket
	metAt     time.Time         // the last one that was not there before
	unsure    []*Met            // was met while the file was strange, and may run another one
	downFrom  time.Time         // the socket has not worked since; zero = it works

	reloads, failedReloads int
	lastReload             ReloadStatus

	stateDue time.Time
	applied  uint64
}

func newMemory(out *Output) *memory {
	o := &out.options
	check := out.check
	if check == nil {
		check = newCheck(o, out.deps.Env)
	}
	m := &memory{
		out: out, options: o, log: out.log,
		composer: NewComposer(*o, out.services, out.deps.Host),
		faults:   faults{log: out.log},
		limiter:  limiter{interval: o.RestartInterval.Duration(), jitter: o.RestartJitter},
		stale:    true,
		publisher: &publisher{
			target: &target{path: o.ConfigFilePath, owner: owner{os.Getpid(), out.deps.Host, out.deps.Config, time.Now()}}, hook: out.hook, writes: o.DoWrites, check: check, always: o.DoChecks,
			faults: newFaults(o, out.deps.Env),
			hosts:  &hostCache{lookup: out.deps.Lookup, patience: filePatience, stale: true},
		},
	}
	m.sync = out.sync
	if m.sync == nil && o.DoSocket {
		settings := o.runtime(out.deps.Lookup)
		if o.DoWrites {
			settings.Journal = m.publisher.target.toldFile()
		}
		m.runtime = NewRuntime(settings, out.log)
		m.sync = m.runtime.Sync
	}
	return m
}

// recall reads what an earlier run has left.
func (m *memory) recall(now time.Time) error {
	p := m.publisher
	if m.options.DoWrites {
		if err := p.target.claim(); errors.Is(err, errTaken) {
			return err
		}
		if _, err := p.look(); err != nil {
			p.target.release() // the next attempt starts from nothing
			return fmt.Errorf("what the file says now must be known before it is replaced: %w", err)
		}
	}
	switch {
	case len(p.text) == 0:
	case p.target.isOurs(p.seen):
		p.ours = p.seen
	default:
		m.foreign, m.strange = true, now.Add(bareGrace)
	}
	m.composer.Recall(p.text, m.readState(now))
	m.recallTold(func(p *process) Known { return p.journal.recallAny() })
	switch {
	case !m.options.DoWrites:
		m.unknown = "first run: this synapse does not write the file, so what HAProxy has loaded is not known"
	case len(p.text) == 0:
		m.unknown = "first configuration"
	case p.text[len(p.text)-1] != '\n':
		m.unknown = "the file is cut off, so HAProxy cannot have loaded it as it is"
	case p.target.isDue():
		m.due = true
		m.unknown = "an earlier run ended before HAProxy had loaded the file"
	case m.foreign:
		m.unknown = foreignReason
	}
	return nil
}

// recallTold tells the composer about the ids that servers have in HAProxy.
func (m *memory) recallTold(told func(*process) Known) {
	if m.runtime == nil {
		return
	}
	for _, p := range slices.Backward(m.runtime.procs) { // the first counts most
		k := told(p)
		m.composer.RecallTold(&k)
	}
}

func (m *memory) readState(now time.Time) State {
	if m.options.StateFilePath == "" {
		return nil
	}
	data, err := os.ReadFile(m.options.StateFilePath)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			m.log.Warn("the state file cannot be read and is taken as empty", "err", err)
		}
		return nil
	}
	state, problems := DecodeState(data, now, m.options.StateFileTTL.Duration())
	for _, problem := range problems {
		m.log.Warn("part of the state file is left out", "reason", problem)
	}
	return state
}

// takeOver continues where the output of the earlier configuration stopped.
func (m *memory) takeOver(old *memory, now time.Time) {
	next := *old
	next.out, next.options, next.log, next.composer = m.out, m.options, m.log, m.composer
	next.faults.log = m.log
	next.limiter.interval, next.limiter.jitter = m.limiter.interval, m.limiter.jitter
	next.stale, next.stateDue = true, time.Time{}
	if next.job != nil && next.job.step != stepReload { // it works with what is about to change
		next.job.cancel()
		<-next.job.done
		next.finish()
	}
	next.whole, next.want = Model{}, Model{}
	if !next.keepRuntime(old, m) {
		next.sync, next.runtime, next.met, next.refusals, next.downFrom = m.sync, m.runtime, false, nil, time.Time{}
	}
	p, was := m.publisher, next.publisher
	if p.target.path == was.target.path && p.writes && was.writes {
		was.check, was.always = p.check, p.always
	} else {
		was.close()
		next.publisher = p
		next.fileRetry, next.fileFails = time.Time{}, 0
	}
	next.composer.Recall(was.content(), old.composer.State(old.snapshot, now))
	next.recallTold(func(p *process) Known { return p.known })
	*m = next
}

// keepRuntime reports whether the connections of old serve next too, and
// closes them if not.
func (m *memory) keepRuntime(old, next *memory) bool {
	switch {
	case old.runtime == nil:
		return next.runtime == nil
	case next.runtime != nil && slices.Equal(old.options.SocketFilePath, next.options.SocketFilePath):
		old.runtime.o = next.runtime.o // the settings may be new
		return true
	}
	_ = old.runtime.Close()
	return false
}

// compose makes the wanted model, if anything can have changed it.
func (m *memory) compose(s service.Snapshot, now time.Time) {
	due := !m.expires.IsZero() && !now.Before(m.expires)
	if s.Rev == m.snapshot.Rev && !due && m.whole.Sections != nil {
		return
	}
	m.snapshot = s
	m.recompose(now)
}

// recompose makes the wanted model of the snapshot.
func (m *memory) recompose(now time.Time) {
	first := m.whole.Sections == nil
	whole := m.composer.Compose(m.snapshot, now)
	m.expires = m.composer.NextExpiry()
	changed := first || !sameModel(m.whole, whole)
	if changed {
		m.warn(whole)
		m.stale, m.fileRetry = true, time.Time{}
		m.pending.note(now)
		if soon := now.Add(saveDelay); m.stateDue.IsZero() || soon.Before(m.stateDue) {
			m.stateDue = soon
		}
	} else if !m.stale {
		m.fileRev = m.snapshot.Rev
	}
	m.whole = whole
	m.want = m.wanted()
	if first {
		m.learnLoaded()
	}
	if !m.options.DoWrites {
		file := contentOf(m.want, m.file)
		m.file, m.fileRev = &file, m.snapshot.Rev
		m.stale = false
	}
}

// wanted returns whole as the publisher has found that HAProxy takes it.
func (m *memory) wanted() Model {
	return m.striker.apply(m.muter.apply(m.whole, m.mute), m.struck)
}

// sameModel reports whether nothing at all has changed. Sections are the same
// pointer as long as their service is.
func sameModel(a, b Model) bool {
	return string(a.Preamble) == string(b.Preamble) && string(a.SharedFrontend) == string(b.SharedFrontend) &&
		slices.Equal(a.Sections, b.Sections)
}

// warn logs what the composer left out, once for each section that is new.
func (m *memory) warn(want Model) {
	log := func(list []Warning) {
		for _, w := range list {
			m.log.Warn("configuration: "+w.Section, "service", w.Service, "reason", w.Reason)
		}
	}
	if m.whole.Sections == nil {
		log(want.Warnings)
	}
	changed := changedSections(m.whole.Sections, want.Sections)
	known := make(map[string][]Warning)
	if len(changed) > 0 {
		for _, s := range changedSections(want.Sections, m.whole.Sections) {
			known[s.Service] = s.Warnings
		}
	}
	for _, s := range changed {
		if !slices.Equal(known[s.Service], s.Warnings) {
			log(s.Warnings)
		}
	}
}

// learnLoaded takes the file as what HAProxy has loaded, unless something
// speaks against it.
func (m *memory) learnLoaded() {
	p := m.publisher
	if p.text != nil && p.accepted == nil {
		was, sections := contentOfFile(p.text, m.want)
		p.adopt(was.preamble, sections)
		if m.loaded == nil && m.unknown == "" {
			m.loaded = &was
			m.log.Debug("what the file says is taken as what HAProxy runs", "file", p.target.path)
		}
	}
}

// contentOfFile takes an earlier run's file apart as the services of want
// would have written it.
func contentOfFile(text []byte, want Model) (content, []*Section) {
	c := content{stanzas: texts{most: map[string][]byte{}}}
	owners, wanted := map[string]*Section{}, map[string][]byte{}
	var sections []*Section
	for _, s := range want.Sections {
		kept := &Section{Service: s.Service, Carried: true}
		wanted[s.Service] = s.Text
		sections = append(sections, kept)
		if s.FrontendName != "" {
			owners["frontend "+s.FrontendName] = kept
		}
		owners["backend "+s.BackendName] = kept
	}
	fixed := map[string]bool{}
	for _, s := range SplitStanzas(want.Preamble) {
		fixed[s.Title] = true
	}
	for _, s := range SplitStanzas(text) {
		kind, name, _ := strings.Cut(s.Title, " ")
		owner := owners[s.Title]
		switch {
		case owner != nil:
			owner.Text = append(append(owner.Text, '\n'), s.Text...)
			if kind == "frontend" {
				owner.FrontendName = name
			} else {
				owner.BackendName = name
			}
		case s.Title == "frontend "+sharedName:
			c.shared = append(c.shared, s.Text...)
		case !fixed[s.Title] && (kind == "frontend" || kind == "backend"):
			c.stanzas.most[name] = append(c.stanzas.most[name], s.Text...) // of a service that is gone
		default:
			c.preamble = append(c.preamble, s.Text...)
		}
	}
	sections = slices.DeleteFunc(sections, func(s *Section) bool { return s.Text == nil })
	for _, s := range sections {
		if now := wanted[s.Service]; bytes.Equal(s.Text, now) {
			s.Text = now // most are: one copy is enough
		}
		c.stanzas.most[s.Service] = s.Text
	}
	return c, sections
}

const foreignReason = "somebody else has changed the file, so HAProxy may have loaded something else"

// lookAtFile notices what somebody else did to the file.
func (m *memory) lookAtFile(now time.Time) {
	if m.job != nil || !m.options.DoWrites {
		return
	}
	foreign, err := m.publisher.look()
	if err != nil || !foreign {
		return // an error comes up again when the file is written
	}
	m.log.Warn("somebody else has changed the file: it is written again", "file", m.options.ConfigFilePath)
	m.stale, m.foreign = true, true
	m.pending.note(now)
	m.loaded, m.unknown = nil, foreignReason
}

// writeState writes the state file.
func writeState(path string, state State) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("state file %s: %w", path, err)
	}
	defer dir.Close()
	return atomicfile.Write(dir, filepath.Base(path), state.Encode(), defaultMode, atomicfile.Options{NoSync: true})
}
