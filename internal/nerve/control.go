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
	Hops Hops // of Run; they may be read from any goroutine

	requests chan func(*runner)
	hurry    chan struct{}
}

// NewControl returns the control for one Run.
func NewControl() *Control {
	return &Control{Hops: newHops(), requests: make(chan func(*runner)), hurry: make(chan struct{}, 1)}
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

// Status returns the services of these names, in the order of their names.
// Without any it returns all that are configured or ordered about.
func (c *Control) Status(ctx context.Context, names ...string) ([]Status, error) {
	return ask(ctx, c, func(r *runner) ([]Status, error) { return r.status(names) })
}

// Apply does what the change says, waits until it is saved, and returns the
// services. With ErrNotSaved it is in force all the same.
func (c *Control) Apply(ctx context.Context, change Change) ([]Status, error) {
	done, err := ask(ctx, c, func(r *runner) (followed, error) { return r.order(change) })
	if err != nil {
		return nil, err
	}
	if err = done.saved(ctx); err != nil {
		err = fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	list, askErr := ask(ctx, c, func(r *runner) ([]Status, error) { return r.describeAll(done.names), nil })
	return list, errors.Join(err, askErr)
}

// followed is an order that is in force.
type followed struct {
	names []string
	saved saved
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
	if len(names) == 0 {
		names = r.configured()
		for name, o := range r.orders { // what operators have ordered is never out of sight
			if !o.at(time.Now()).empty() {
				names = append(names, name)
			}
		}
	}
	names, err := r.find(names)
	if err != nil {
		return nil, err
	}
	return r.describeAll(names), nil
}

func (r *runner) describeAll(names []string) []Status {
	now := time.Now()
	list := make([]Status, 0, len(names))
	for _, name := range names {
		list = append(list, r.describe(name, now))
	}
	return list
}

// find checks and sorts names.
func (r *runner) find(names []string) ([]string, error) {
	now := time.Now()
	names = slices.Clone(names)
	slices.Sort(names)
	names = slices.Compact(names)
	unknown := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return r.known(name, now) })
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnknown, strings.Join(unknown, ", "))
	}
	return names, nil
}

// order answers Control.Apply.
func (r *runner) order(c Change) (followed, error) {
	if r.ending {
		return followed{}, ErrEnding
	}
	if c.Do == SetWeight && (c.Weight < 0 || c.Weight > maxWeight) {
		return followed{}, fmt.Errorf("%w: weight: want 0 to %d, got %d", ErrOrder, maxWeight, c.Weight)
	}
	names := c.Services
	if len(names) == 0 {
		names = r.configured()
	}
	names, err := r.find(names)
	if err != nil {
		return followed{}, err
	}
	now := time.Now()
	for _, name := range names {
		was := r.orders[name].at(now)
		o, err := c.order(was, now)
		if err != nil {
			return followed{}, err
		}
		r.log.Info("ordered by an operator", "service", name, "order", string(c.Do), "weight", c.Weight,
			"for", c.For, "reason", c.Reason, "by", c.By)
		r.give(name, o)
	}
	return followed{names, r.save()}, nil
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
