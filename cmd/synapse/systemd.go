package main

import (
	"context"
	"errors"
	"time"

	"smartstack/internal/sdnotify"
	"smartstack/internal/synapse"
)

const (
	startRest = time.Minute           // of the start, beyond the time that silent sources have
	firstLook = 50 * time.Millisecond // between two looks for the first snapshot
	endLimit  = time.Minute           // of the end, which may wait for a reload
)

// keepInformed tells systemd when the first snapshot is complete, and then that
// the hub goes on, until ctx ends: then it tells that. The result ends it.
func (p *program) keepInformed(ctx context.Context, hub *synapse.Hub) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		inform(ctx, p.systemd, hub)
	}()
	return func() { cancel(); <-over }
}

func inform(ctx context.Context, n *sdnotify.Notifier, hub *synapse.Hub) {
	look := time.NewTicker(firstLook)
	defer look.Stop()
	ready := false
	for {
		select {
		case <-ctx.Done():
			n.Stopping(endLimit)
			return
		case <-look.C:
		}
		if !ready && hub.Snapshot().Rev > 0 {
			ready = true
			n.Ready()
			if n.Every() == 0 {
				<-ctx.Done()
				continue
			}
			look.Reset(n.Every())
		}
		if alive(ctx, hub) {
			n.Alive()
		}
	}
}

// alive tells whether the hub answers.
func alive(ctx context.Context, hub *synapse.Hub) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := hub.Look(ctx, "\x00") // no service has that name
	return errors.Is(err, synapse.ErrNoService)
}
