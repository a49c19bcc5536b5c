package nerve

import (
	"strconv"
	"strings"
	"time"
)

// Order is what an operator wants of one service. It is immutable.
type Order struct {
	Out    *Withdrawal  `json:"out,omitempty"`
	Weight *WeightOrder `json:"weight,omitempty"`
}

// Withdrawal takes a service out of the registries.
type Withdrawal struct {
	Drain   bool      `json:"drain,omitempty"`   // in an orderly way
	Drained bool      `json:"drained,omitempty"` // and that is over
	AtEnd   bool      `json:"-"`                 // because nerve itself ends; never saved
	quiet   bool      // its wait is over: also withdraw what was kept with weight 0
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero = until it is lifted
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
}

// WeightOrder replaces the weight of the configuration.
type WeightOrder struct {
	Value  int       `json:"value"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by,omitempty"`
}

func over(until, now time.Time) bool { return !until.IsZero() && !now.Before(until) }

// at returns what of the order is in force.
func (o Order) at(now time.Time) Order {
	if o.Out != nil && over(o.Out.Until, now) {
		o.Out = nil
	}
	if o.Weight != nil && over(o.Weight.Until, now) {
		o.Weight = nil
	}
	return o
}

// draining tells whether a drain is under way.
func (o Order) draining() bool { return o.Out != nil && o.Out.Drain && !o.Out.Drained }

// since is when the older part was ordered.
func (o Order) since() time.Time {
	switch {
	case o.Out == nil:
		return o.Weight.Since
	case o.Weight == nil || o.Out.Since.Before(o.Weight.Since):
		return o.Out.Since
	default:
		return o.Weight.Since
	}
}

func (o Order) empty() bool { return o.Out == nil && o.Weight == nil }

// withOut and withWeight return the order with a part replaced.
func (o Order) withOut(out *Withdrawal) Order        { o.Out = out; return o }
func (o Order) withWeight(weight *WeightOrder) Order { o.Weight = weight; return o }

// anchor gives the times of an order that was read from a file the monotonic
// clock of this process, so that a jump of the wall clock from now on neither
// lifts nor prolongs it.
func (o Order) anchor(now time.Time) Order {
	if o.Out != nil {
		out := *o.Out
		out.Until = anchored(out.Until, now)
		o.Out = &out
	}
	if o.Weight != nil {
		weight := *o.Weight
		weight.Until = anchored(weight.Until, now)
		o.Weight = &weight
	}
	return o
}

func anchored(t, now time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(t.Sub(now))
}

// String is the order in short, for logs.
func (o Order) String() string {
	var parts []string
	if o.Out != nil {
		word := "out"
		if o.Out.Drain {
			word = "drain"
		}
		parts = append(parts, word+history(o.Out.Since, o.Out.Until, o.Out.Reason, o.Out.By))
	}
	if o.Weight != nil {
		parts = append(parts, "weight "+strconv.Itoa(o.Weight.Value)+history(o.Weight.Since, o.Weight.Until, o.Weight.Reason, o.Weight.By))
	}
	return strings.Join(parts, ", ")
}

func history(from, until time.Time, reason, by string) string {
	text := " since " + from.Format(time.RFC3339)
	if !until.IsZero() {
		text += " until " + until.Format(time.RFC3339)
	}
	if by != "" {
		text += " by " + by
	}
	if reason != "" {
		text += " (" + reason + ")"
	}
	return text
}
