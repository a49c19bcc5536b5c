package dns

import (
	"context"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

// OnFailure lets f be called for each look-up that fails. It is called before
// Run.
func (w *Watcher) OnFailure(failed func()) { w.follower.OnFailure(failed) }

// Condition tells which names cannot be looked up, and since when.
func (w *Watcher) Condition() service.Condition { return w.follower.Condition() }

// Run follows the servers' names until ctx ends. It returns an error when none
// of them can be looked up.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	wake := mailbox.NewWake()
	wanted := mailbox.New[service.Update](wake)
	wanted.Put(w.wanted)
	return w.follower.Run(ctx, wanted, wake, publish)
}
