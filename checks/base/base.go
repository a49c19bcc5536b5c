// Package base is the check that never passes: the original lets one write
// "type": "base" and then has nothing to check.
package base

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"smartstack/internal/config"
)

// Options are accepted as for every other check.
type Options struct {
	Host    string         `cfg:"host" doc:"Not used."`
	Port    int            `cfg:"port" doc:"Not used."`
	Timeout config.Seconds `cfg:"timeout" default:"0.1" doc:"Not used."`
}

// Check never passes.
type Check struct{}

// New returns the check.
func New(Options, *slog.Logger) (*Check, error) { return &Check{}, nil }

// Timeout is the longest that Check takes.
func (*Check) Timeout() time.Duration { return time.Second }

// Check says that nothing is checked.
func (*Check) Check(context.Context) error {
	return errors.New(`type "base" checks nothing and is always down; use "tcp", "http" or "noop"`)
}
