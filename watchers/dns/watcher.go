package dns

import (
	"context"

	"smartstack/internal/mailbox"
	"smartstack/internal/service"
)

// Run follows the servers' names until ctx ends. It returns an error when none
// of them can be looked up.
func (w *Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	wake := mailbox.NewWake()
	wanted := mailbox.New[service.Update](wake)
	wanted.Put(w.wanted)
	return w.follower.Run(ctx, wanted, wake, publish)
}
