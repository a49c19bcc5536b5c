package nerve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Control is how an operator talks to a running nerve. Its methods may be
// called from any goroutine while Run runs; before and after that they wait for
// their context.
type Control struct {
	requests chan func(*runner)
	hurry    chan struct{}
}

// NewControl returns the control for one Run.
func NewControl() *Control {
	return &Control{requests: make(chan func(*runner)), hurry: make(chan struct{}, 1)}
}

// Hurry cuts the drains short that the end of Run's context has begun.
func (c *Control) Hurry() {
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}

// Change is what an operator asks for.
type Change struct {
	Do       Deed
	Services []string      // their names; none = all that are configured
	Weight   int           // of SetWeight
	For      time.Duration // 0 = until it is lifted
	Reason   string
	By       string
}

// Deed is what to do.
type Deed string

// The deeds.
const (
	TakeDown    Deed = "down"         // withdraw at once
	StartDrain  Deed = "drain"        // withdraw in an orderly way
	BringUp     Deed = "up"           // lift TakeDown and StartDrain
	SetWeight   Deed = "weight"       // register another weight
	ResetWeight Deed = "reset-weight" // that of the configuration again
)

// maxWeight is HAProxy's greatest weight.
const maxWeight = 256

// The errors of Control.
var (
	ErrUnknown  = errors.New("no such service")
	ErrOrder    = errors.New("no order that can be followed")
	ErrEnding   = errors.New("nerve is ending")
	ErrNotSaved = errors.New("done, but not saved: it will not survive a restart")
)

// Status returns the services of these names, all without any, in the order
// of their names.
func (c *Control) Status(ctx context.Context, names ...string) ([]Status, error) {
	return ask(ctx, c, func(r *runner) ([]Status, error) { return r.status(names) })
}

// Apply does what the change says, waits until it is saved, and returns the
// services. With ErrNotSaved it is in force all the same.
func (c *Control) Apply(ctx context.Context, change Change) ([]Status, error) {
	saved, err := ask(ctx, c, func(r *runner) (saved, error) { return r.order(change) })
	if err != nil {
		return nil, err
	}
	if err = saved(ctx); err != nil {
		err = fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	list, askErr := c.Status(ctx, change.Services...)
	return list, errors.Join(err, askErr)
}

// ask runs f where the services are owned.
func ask[T any](ctx context.Context, c *Control, f func(*runner) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	request := func(r *runner) {
		v, err := f(r)
		answered <- answer{v, err}
	}
	var none T
	select {
	case c.requests <- request:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	a := <-answered
	return a.value, a.err
}

// status answers Control.Status.
func (r *runner) status(names []string) ([]Status, error) {
	names, err := r.find(names)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	list := make([]Status, 0, len(names))
	for _, name := range names {
		p := r.places[name]
		if p == nil {
			continue // ordered out, but not configured
		}
		s := p.unit.status(now)
		s.Reloading = p.next != nil
		list = append(list, s)
	}
	return list, nil
}

// find checks names, or returns all.
func (r *runner) find(names []string) ([]string, error) {
	if len(names) == 0 {
		for name := range r.places {
			names = append(names, name)
		}
	}
	var unknown []string
	for _, name := range names {
		if r.places[name] == nil && r.orders[name].at(time.Now()).empty() {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, strings.Join(unknown, ", "))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// order answers Control.Apply.
func (r *runner) order(c Change) (saved, error) {
	if r.ending {
		return nil, ErrEnding
	}
	if c.Do == SetWeight && (c.Weight < 0 || c.Weight > maxWeight) {
		return nil, fmt.Errorf("%w: weight: want 0 to %d, got %d", ErrOrder, maxWeight, c.Weight)
	}
	names, err := r.find(c.Services)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for _, name := range names {
		was := r.orders[name].at(now)
		o, err := c.order(was, now)
		if err != nil {
			return nil, err
		}
		r.log.Info("ordered by an operator", "service", name, "order", string(c.Do), "weight", c.Weight,
			"for", c.For, "reason", c.Reason, "by", c.By)
		r.give(name, o)
	}
	return r.save(), nil
}

// order is what becomes of a service's order.
func (c Change) order(was Order, now time.Time) (Order, error) {
	var until time.Time
	if c.For > 0 {
		until = now.Add(c.For)
	}
	out := &Withdrawal{Since: now, Until: until, Reason: c.Reason, By: c.By}
	switch c.Do {
	case TakeDown:
		return was.withOut(out), nil
	case StartDrain:
		if was.Out != nil { // there is nothing left to drain, or it is under way
			out.Drained = was.Out.Drained || !was.Out.Drain
			out.Since = was.Out.Since
		}
		out.Drain = true
		return was.withOut(out), nil
	case BringUp:
		return was.withOut(nil), nil
	case SetWeight:
		return was.withWeight(&WeightOrder{Value: c.Weight, Since: now, Until: until, Reason: c.Reason, By: c.By}), nil
	case ResetWeight:
		return was.withWeight(nil), nil
	default:
		return Order{}, fmt.Errorf("%w: unknown word %q", ErrOrder, c.Do)
	}
}
