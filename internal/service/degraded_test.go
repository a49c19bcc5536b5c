package service

import (
	"errors"
	"fmt"
	"testing"
)

func TestDegraded(t *testing.T) {
	want := Degraded{Reason: "replication is 40 s behind", Weight: 25}
	if got, ok := AsDegraded(fmt.Errorf("check: %w", want)); !ok || got != want {
		t.Errorf("wrapped: %v, %v", got, ok)
	}
	if got := want.Error(); got != "degraded to 25 % of the weight: replication is 40 s behind" {
		t.Error(got)
	}
	for _, err := range []error{nil, errors.New("down")} {
		if _, ok := AsDegraded(err); ok {
			t.Errorf("%v counts as degraded", err)
		}
	}
}
