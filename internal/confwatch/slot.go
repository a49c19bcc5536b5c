package confwatch

import (
	"context"
	"log/slog"
)

// Slot watches one configuration at a time, for a program that may be told to
// watch other files, or none. Its methods belong to one goroutine.
type Slot struct {
	log     *slog.Logger
	changed chan struct{}
	files   Files // watched now; the zero value is none
	stop    func()
}

// NewSlot makes a slot that watches nothing.
func NewSlot(log *slog.Logger) *Slot {
	return &Slot{log: log, changed: make(chan struct{}, 1), stop: func() {}}
}

// Changed tells that the files have changed since they were read.
func (s *Slot) Changed() <-chan struct{} { return s.changed }

// Follow watches files, nil for none, until the next Follow, Stop, or the end of
// ctx. last is Sum's word on what was read; files that are watched already are
// watched on.
func (s *Slot) Follow(ctx context.Context, files *Files, last string) {
	var want Files
	if files != nil {
		want = *files
	}
	if want == s.files {
		return
	}
	s.Stop()
	s.files = want
	if files == nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w := New(want, last, s.log)
	go func() {
		defer close(done)
		w.Run(ctx, func() {
			select {
			case s.changed <- struct{}{}:
			default: // they will be read anyway
			}
		})
	}()
	s.stop = func() { cancel(); <-done }
}

// Stop ends the watching.
func (s *Slot) Stop() {
	s.stop()
	s.files, s.stop = Files{}, func() {}
}
