package service

import (
	"errors"
	"fmt"
)

// Degraded is the error of a Check whose target serves, but not as well as it
// should: the service stays registered, with a part of its weight.
type Degraded struct {
	Reason string
	// Weight is in percent of the weight that the service would have, 1 to 99;
	// 0 in a plugin means the one that its user has chosen.
	Weight int
}

// Error is the reason, for logs and the status.
func (d Degraded) Error() string {
	return fmt.Sprintf("degraded to %d %% of the weight: %s", d.Weight, d.Reason)
}

// AsDegraded finds a Degraded in the error of a Check; every other error means
// that the service is down.
func AsDegraded(err error) (Degraded, bool) { return errors.AsType[Degraded](err) }
