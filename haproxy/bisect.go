package haproxy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// bisect finds the services at fault when the check does not tell: first with
// everything that changed kept back, then with half of it, and so on.
func (p *publisher) bisect(ctx context.Context, want Model, refusal *commandError, checks *int) error {
	suspects := p.suspects(want)
	trial := maps.Clone(p.holds)
	if trial == nil {
		trial = map[string]*hold{}
	}
	reason := "the configuration is refused with it: " + firstAlert(refusal.Output)
	b := &bisection{p: p, want: want, holds: trial, checks: checks, reason: reason}
	b.keepBack(suspects)
	if err := b.try(ctx); err != nil || len(suspects) == 0 {
		return fmt.Errorf("the new configuration is refused, with what it says outside the services or with what was "+
			"accepted before, and is not written: %w", refusal)
	}
	if err := b.search(ctx, suspects, true); err != nil {
		return err
	}
	p.holds = b.holds
	return nil
}

// suspects are the sections that are not yet accepted as they are.
func (p *publisher) suspects(want Model) []*Section {
	var list []*Section
	for _, s := range want.Sections {
		a := p.accepted[s.Service]
		same := a != nil && bytes.Equal(a.Text, s.Text) && (a.Carried || slices.Equal(a.Shared, s.Shared))
		if p.holds[s.Service] == nil && !same {
			list = append(list, s)
		}
	}
	return list
}

// bisection is one search under way.
type bisection struct {
	p      *publisher
	want   Model
	holds  map[string]*hold // of a configuration that is accepted
	checks *int
	reason string
}

func (b *bisection) keepBack(group []*Section) {
	for _, s := range group {
		b.holds[s.Service] = newHold(s, b.p.accepted[s.Service], b.reason, len(s.Shared) > 0)
	}
}

func (b *bisection) release(group []*Section) {
	for _, s := range group {
		delete(b.holds, s.Service)
	}
}

// search releases as much of group as is accepted. refused says that the whole
// of it is known not to be.
func (b *bisection) search(ctx context.Context, group []*Section, refused bool) error {
	if !refused {
		b.release(group)
		err := b.try(ctx)
		if err == nil {
			return nil
		}
		b.keepBack(group)
		if !isRefusal(err) {
			return err
		}
	}
	if len(group) <= 1 || *b.checks >= maxChecks { // then the rest stays as it was
		return nil
	}
	half := len(group) / 2
	if err := b.search(ctx, group[:half], false); err != nil {
		return err
	}
	return b.search(ctx, group[half:], false)
}

// try checks the configuration with the holds as they are.
func (b *bisection) try(ctx context.Context) error {
	*b.checks++
	m := withHolds(b.want, b.holds)
	s, err := b.p.target.stage(m)
	if err != nil {
		return err
	}
	_, err = b.p.check(ctx, s.Path(), m.Render())
	if discardErr := s.discard(); err == nil {
		err = discardErr
	}
	return err
}

// firstAlert returns the first line of what alerts has left.
func firstAlert(output string) string {
	first, _, _ := strings.Cut(output, "\n")
	if first == "" {
		return "the check does not say why"
	}
	return first
}
