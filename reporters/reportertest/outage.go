package reportertest

import (
	"context"
	"testing"
	"time"

	"smartstack/internal/service"
)

// ReportUntil reports every two seconds, as nerve does, until that succeeds and
// the registry holds it. On a busy machine a short session may be lost again.
func ReportUntil(t *testing.T, r service.Reporter, b service.Backend, holds func(service.Backend) error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); <-time.After(2 * time.Second) {
		if err = round(t, r, service.Registration{Up: true, Backend: b}); err == nil {
			err = holds(b)
		}
		if err == nil {
			return
		}
	}
	t.Fatalf("not registered after ten minutes: %v", err)
}

// ReportFor reports every two seconds for some time, and returns how that went
// at the end.
func ReportFor(t *testing.T, r service.Reporter, reg service.Registration, d time.Duration) (err error) {
	for end := time.Now().Add(d); time.Now().Before(end); <-time.After(2 * time.Second) {
		err = round(t, r, reg)
	}
	return err
}

func round(t *testing.T, r service.Reporter, reg service.Registration) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return r.Report(ctx, reg)
}
