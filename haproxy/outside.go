package haproxy

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"smartstack/haproxy/master"
)

// outsideHold keeps what the file says outside of the services (global, defaults,
// extra sections) at what was accepted last, because HAProxy refuses what the
// configuration has now. The services go on.
type outsideHold struct {
	refused, kept []byte
	err           error
	final         bool // HAProxy ended with it: it is not tried again as it is
}

// withOutside returns want with what is kept outside of its services.
func (p *publisher) withOutside(want Model) Model {
	if p.outside != nil {
		want.Preamble = p.outside.kept
	}
	return want
}

// holdOutside keeps back what want says outside of the services, which err says
// is at fault. It reports whether that changes anything.
func (p *publisher) holdOutside(want Model, err error) bool {
	if p.outside != nil || p.preamble == nil || sameLines(want.Preamble, p.preamble) {
		return false
	}
	p.outside = &outsideHold{refused: want.Preamble, kept: p.preamble, err: err}
	return true
}

// releaseOutside gives it another chance when it has changed, or a while has
// passed.
func (p *publisher) releaseOutside(want Model, late bool) {
	if o := p.outside; o != nil && (late && !o.final || !bytes.Equal(want.Preamble, o.refused)) {
		p.outside = nil
	}
}

// outsideErr says what is kept back outside of the services; nil = nothing.
func (p *publisher) outsideErr() error {
	if p.outside == nil {
		return nil
	}
	return p.outside.err
}

// hasEnded reports whether HAProxy does not run after a reload that failed with err.
func hasEnded(err error) bool {
	return errors.Is(err, master.ErrEnded) || errors.Is(err, master.ErrNotStarted)
}

// takeBack sees to it that HAProxy does not start again with a file with which it
// has just ended, where that is new outside of the services. What a service can
// ask for is known before HAProxy loads it.
func (m *memory) takeBack(err error, file *content, now time.Time) {
	p := m.publisher
	if !hasEnded(err) || p.safe == nil || sameLines(p.safe, file.preamble) {
		return
	}
	p.outside = &outsideHold{
		refused: file.preamble, kept: p.safe, final: true,
		err: fmt.Errorf("HAProxy finds no fault with it and ends with it (mend it; as it is, only a restart of synapse tries it again): %w", err),
	}
	m.stale = true
	m.pending.note(now)
}
