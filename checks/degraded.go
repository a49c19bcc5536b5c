package checks

import (
	"context"
	"errors"

	"smartstack/internal/service"
)

// weighed gives degraded results their weight.
type weighed struct {
	check  service.Check
	only   bool // failures are degraded results too
	weight int  // percent
}

func (c *common) weigh(check service.Check) service.Check {
	return &weighed{check: check, only: c.OnlyDegrades, weight: c.DegradedWeight}
}

// Check passes the result on. A plugin's Degraded of weight 0 leaves the weight
// to the option degraded_weight.
func (w *weighed) Check(ctx context.Context) error {
	err := w.check.Check(ctx)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) || service.OutOfMeans(err) {
		return err // a check that was cut short, or could not be made, says nothing
	}
	d, degraded := service.AsDegraded(err)
	switch {
	case degraded && d.Weight == 0:
		d.Weight = w.weight
		return d
	case !degraded && w.only:
		return service.Degraded{Reason: err.Error(), Weight: w.weight}
	}
	return err
}

// Detail passes on what the check has to say.
func (w *weighed) Detail() string {
	if d, ok := w.check.(service.Detailed); ok {
		return d.Detail()
	}
	return ""
}
