// Package static is the watcher of services whose backends stand in the
// configuration: it finds nothing, so default_servers are served. It is the
// method "base" of the original.
package static

import (
	"context"

	"smartstack/internal/service"
)

// Options has no keys: the backends are the service's default_servers.
type Options struct{}

// Watcher says once that it found nothing. It keeps no state.
type Watcher struct{}

// New makes the watcher.
func New(Options) *Watcher { return &Watcher{} }

// Run publishes an empty set and waits for the end.
func (*Watcher) Run(ctx context.Context, publish func(service.Update)) error {
	publish(service.Update{})
	<-ctx.Done()
	return nil
}
