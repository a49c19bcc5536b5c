package docker

import (
	"context"
	"errors"

	"smartstack/internal/dockerconn"
)

// The parts of dockerconn under the names that they have here.
type (
	dialer    = dockerconn.Dialer
	pace      = dockerconn.Pace
	container = dockerconn.Container
	event     = dockerconn.Event
	follower  = dockerconn.Follower[[]entry]
	word      = dockerconn.Word[[]entry]
)

// newFollower makes the follower of one engine.
func (w *Watcher) newFollower(e *engine) *follower {
	return &follower{
		Server: e.server, Dial: e.dial, Pace: w.pace, Log: w.log, Keeps: "its backends", Who: "synapse",
		Reader: &reader{server: e.server, rule: w.rule, images: map[string]string{}},
	}
}

// reader makes entries of one engine's containers. It belongs to that engine's
// follower.
type reader struct {
	server Server
	rule   *rule
	images map[string]string // references of containers whose listed name has moved on, by container
}

// Concerns reports whether an event may change what the rule yields.
func (r *reader) Concerns(e event) bool { return r.rule.concerns(e) }

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

// Read makes the entries.
func (r *reader) Read(ctx context.Context, a *dockerconn.API, running []*container, bad []dockerconn.Bad) ([]entry, error) {
	var found []entry
	for _, b := range bad {
		found = append(found, entry{name: r.server.Entry(b.Name), reason: b.Reason})
	}
	r.forget(running)
	for _, c := range running {
		if !r.rule.labelled(c) {
			continue
		}
		image, err := r.image(ctx, a, c)
		if err != nil {
			return nil, err
		}
		if r.rule.image.matches(image, c.ImageID) {
			found = append(found, r.rule.judge(r.server, c))
		}
	}
	return found, nil
}

// image returns the reference that a container was started from, which never
// changes. That of a container which has gone in the meantime is empty.
func (r *reader) image(ctx context.Context, a *dockerconn.API, c *container) (string, error) {
	if !imageID(c.Image) || r.rule.image.repository == "" {
		return c.Image, nil
	}
	if known, ok := r.images[c.ID]; ok {
		return known, nil
	}
	origin, err := a.Origin(ctx, c.ID)
	if errors.Is(err, dockerconn.ErrGone) {
		return "", nil
	}
	if err == nil {
		r.images[c.ID] = origin.Image
	}
	return origin.Image, err
}

// forget drops what is known of containers that do not run any more.
func (r *reader) forget(running []*container) {
	listed := make(map[string]bool, len(running))
	for _, c := range running {
		listed[c.ID] = true
	}
	for id := range r.images {
		if !listed[id] {
			delete(r.images, id)
		}
	}
}
