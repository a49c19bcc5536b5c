// Package noop is the check that always passes.
package noop

import (
	"context"
	"log/slog"
	"time"

	"smartstack/internal/config"
)

// Options are accepted so that a type can be changed to noop and back.
type Options struct {
	Host    string         `cfg:"host" doc:"Not used."`
	Port    int            `cfg:"port" doc:"Not used."`
	Timeout config.Seconds `cfg:"timeout" default:"0.1" doc:"Not used."`
}

// Check always passes.
type Check struct{}

// New returns the check.
func New(Options, *slog.Logger) (*Check, error) { return &Check{}, nil }

// Timeout is the longest that Check takes.
func (*Check) Timeout() time.Duration { return time.Second }

// Check says that all is well.
func (*Check) Check(context.Context) error { return nil }
