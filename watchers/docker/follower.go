package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"smartstack/internal/mailbox"
)

// pace holds the times of a follower.
type pace struct {
	interval time.Duration // between two lists while nothing happens
	deadline time.Duration // of one list, and of a stream's beginning
	first    time.Duration // how long the first list waits for the stream, so as to come after it
	gap      time.Duration // between two lists, however much happens
	settle   time.Duration // to one more list after an event: some are sent before the list knows
	believe  time.Duration // how long a death counts for more than a list that knows nothing of it
	retry    time.Duration // before the second attempt; it doubles up to interval
}

func paceFor(interval time.Duration) pace {
	return pace{
		interval: interval, deadline: 10 * time.Second, first: time.Second, gap: 100 * time.Millisecond,
		settle: time.Second, believe: 10 * time.Second, retry: time.Second,
	}
}

// jitter spreads d by up to a tenth, so that hosts do not ask in step.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// backOff is the pause after failure number n, from 1.
func (p pace) backOff(n int) time.Duration {
	return jitter(min(p.retry<<min(n-1, 16), p.interval))
}

// word is what a follower says: what the engine holds, or why it is not known.
type word struct {
	entries []entry
	err     error
}

// hint is what the stream of events tells the follower.
type hint struct {
	event event
	kind  hintKind
	fails int // lost: attempts in a row that brought no stream
	err   error
}

type hintKind int

const (
	happened hintKind = iota
	opened            // from now on nothing is missed
	lost
)

// follower owns what is known of one engine. All of it belongs to the
// goroutine of run, but for server, dial, rule and pace, which never change.
type follower struct {
	server Server
	dial   dialer
	rule   *rule
	pace   pace
	log    *slog.Logger

	api    *api                 // nil = to be made
	images map[string]string    // references of containers whose listed name has moved on, by container
	dead   map[string]time.Time // containers whose death was told, and when
	fails  int                  // lists that failed in a row
	blind  bool                 // the log knows that there are no events
}

// run follows the engine until ctx ends.
func (f *follower) run(ctx context.Context, out *mailbox.Latest[word]) {
	f.images, f.dead = map[string]string{}, map[string]time.Time{}
	hints := make(chan hint)
	var group sync.WaitGroup
	group.Go(func() { f.stream(ctx, hints) })
	defer group.Wait()
	defer f.disconnect()

	next := time.NewTimer(f.pace.first)
	defer next.Stop()
	var listed time.Time // when the last list was complete
	settled := true      // nothing has happened since the last list
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-hints:
			if f.heed(h) {
				settled = false
				next.Reset(max(0, f.pace.gap-time.Since(listed)))
			}
		case <-next.C:
			w := f.read(ctx)
			if ctx.Err() != nil {
				return
			}
			f.tell(w.err)
			out.Put(w)
			listed = time.Now()
			next.Reset(f.pause(settled))
			settled = true
		}
	}
}

// pause returns the time to the next list if nothing happens.
func (f *follower) pause(settled bool) time.Duration {
	switch {
	case f.fails > 0:
		return f.pace.backOff(f.fails)
	case !settled:
		return min(f.pace.settle, f.pace.interval)
	default:
		return jitter(f.pace.interval)
	}
}

// heed takes a hint, and reports whether to list now. While lists fail, only a
// new stream brings one before its time.
func (f *follower) heed(h hint) bool {
	switch h.kind {
	case opened:
		clear(f.dead)
		if f.blind {
			f.log.Info("the events of docker server " + f.server.String() + " are followed again")
		}
		f.blind = false
		return true
	case lost:
		if h.fails == 2 && f.fails == 0 && !f.blind {
			f.blind = true
			f.log.Warn(fmt.Sprintf("docker server %s gives no events; changes are seen every %v only", f.server, f.pace.interval), "err", h.err)
		}
		return f.fails == 0 && h.fails < 2
	}
	if !f.rule.concerns(h.event) {
		return false
	}
	switch h.event.Action {
	case "die":
		f.dead[h.event.Actor.ID] = time.Now()
	case "start":
		delete(f.dead, h.event.Actor.ID)
	}
	return f.fails == 0
}

// concerns reports whether an event may change what the rule yields.
func (r *rule) concerns(e event) bool {
	name := e.Actor.Attributes["image"]
	switch {
	case e.Type == "network":
		return r.own && (r.network == "" || r.network == e.Actor.Attributes["name"])
	case e.Type == "container" && name != "" && !imageID(name) && r.image.repository != "":
		return r.image.matches(name, "")
	}
	return true
}

// tell logs the first failure and the end of failures.
func (f *follower) tell(err error) {
	switch {
	case err != nil:
		if f.fails++; f.fails == 1 {
			f.log.Warn("docker server "+f.server.String()+" cannot be read; its backends stay as they were while it is tried again", "err", err)
		}
	case f.fails > 0:
		f.log.Info("docker server " + f.server.String() + " can be read again")
		f.fails = 0
	}
}

// read lists the engine's containers. A failure closes the connection, so that
// the next attempt begins afresh, with the TLS files as they are then.
func (f *follower) read(ctx context.Context) word {
	ctx, cancel := context.WithTimeout(ctx, f.pace.deadline)
	defer cancel()
	entries, err := f.list(ctx)
	if err != nil {
		f.disconnect()
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (give synapse's user the group of the socket, mostly docker)", err)
		}
		return word{err: fmt.Errorf("docker server %s: %w", f.server, err)}
	}
	return word{entries: entries}
}

func (f *follower) disconnect() {
	if f.api != nil {
		f.api.close()
		f.api = nil
	}
}

func (f *follower) list(ctx context.Context) ([]entry, error) {
	if f.api == nil {
		a, err := connect(f.server, f.dial, f.pace.deadline)
		if err != nil {
			return nil, err
		}
		f.api = a
	}
	all, bad, err := f.api.containers(ctx)
	if err != nil {
		return nil, err
	}
	for i := range bad {
		bad[i].name = f.server.entry(bad[i].name)
	}
	f.forget(all)
	found := bad
	for _, c := range all {
		if _, died := f.dead[c.ID]; died || !f.rule.labelled(c) {
			continue
		}
		image, err := f.image(ctx, c)
		if err != nil {
			return nil, err
		}
		if f.rule.image.matches(image, c.ImageID) {
			found = append(found, f.rule.judge(f.server, c))
		}
	}
	return found, nil
}

// image returns the reference that a container was started from, which never
// changes. That of a container which has gone in the meantime is empty.
func (f *follower) image(ctx context.Context, c *container) (string, error) {
	if !imageID(c.Image) || f.rule.image.repository == "" {
		return c.Image, nil
	}
	if known, ok := f.images[c.ID]; ok {
		return known, nil
	}
	image, err := f.api.image(ctx, c.ID)
	if errors.Is(err, errGone) {
		return "", nil
	}
	if err == nil {
		f.images[c.ID] = image
	}
	return image, err
}

// forget drops what is known of containers that are not listed any more, and
// deaths that a list should know of by now.
func (f *follower) forget(all []*container) {
	listed := make(map[string]bool, len(all))
	for _, c := range all {
		listed[c.ID] = true
	}
	for id := range f.images {
		if !listed[id] {
			delete(f.images, id)
		}
	}
	for id, when := range f.dead {
		if !listed[id] || time.Since(when) > f.pace.believe {
			delete(f.dead, id)
		}
	}
}

// stream keeps the engine's events coming, as hints, until ctx ends.
func (f *follower) stream(ctx context.Context, hints chan<- hint) {
	send := func(h hint) {
		select {
		case hints <- h:
		case <-ctx.Done():
		}
	}
	for fails := 1; ; fails++ {
		began := time.Now()
		err := f.follow(ctx, send)
		if time.Since(began) > f.pace.interval {
			fails = 1
		}
		if ctx.Err() != nil {
			return
		}
		send(hint{kind: lost, fails: fails, err: err})
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.pace.backOff(fails)):
		}
	}
}

// follow is one connection of stream.
func (f *follower) follow(ctx context.Context, send func(hint)) error {
	a, err := connect(f.server, f.dial, f.pace.deadline)
	if err != nil {
		return err
	}
	defer a.close()
	return a.events(ctx, func() { send(hint{kind: opened}) }, func(e event) { send(hint{kind: happened, event: e}) })
}
