package main

import (
	"context"
	"errors"
	"slices"

	"smartstack/haproxy"
	"smartstack/internal/inside"
	"smartstack/internal/synapse"
)

// closeLooks bounds the services whose servers are asked for one by one.
const closeLooks = 50

// looks asks the hub about some services, those that it knows, or about all.
func (s *scene) looks(ctx context.Context, names []string) ([]synapse.Look, error) {
	if len(names) == 0 {
		return s.hub.LookAll(ctx)
	}
	var list []synapse.Look
	for _, name := range names {
		look, err := s.hub.Look(ctx, name)
		switch {
		case errors.Is(err, synapse.ErrNoService):
		case err != nil:
			return nil, err
		default:
			list = append(list, look)
		}
	}
	return list, nil
}

// askFor asks HAProxy what a board of that scope takes.
func (s *scene) askFor(ctx context.Context, v *view, looks []synapse.Look, scope inside.Scope) (err error) {
	switch {
	case !s.asks():
		return nil
	case len(scope.Services) > 0 && len(looks) <= closeLooks:
		var backends []string
		for i := range looks {
			if section := v.placed[looks[i].Name].Section; section != nil {
				backends = append(backends, section.BackendName)
			}
		}
		if len(backends) > 0 {
			v.asked, err = s.looker.some(ctx, s.output, backends...)
		}
		return err
	case scope.Full:
		v.asked, err = s.looker.all(ctx, s.output)
		return err
	default:
		if v.asked, err = s.looker.sums(ctx, s.output); err != nil {
			return err
		}
		return s.lookCloser(ctx, v, looks)
	}
}

// lookCloser asks for the servers of those services that the sums leave in
// doubt: a sum tells how many serve, and not what the others are.
func (s *scene) lookCloser(ctx context.Context, v *view, looks []synapse.Look) error {
	p := v.process()
	if p == nil {
		return nil
	}
	var names []string
	for i := range looks {
		section := v.placed[looks[i].Name].Section
		if section == nil {
			continue
		}
		if sum, ok := p.Sums[section.BackendName]; ok && sum.Active+sum.Backups < looks[i].Serving.Len() {
			names = append(names, section.BackendName)
		}
	}
	if len(names) == 0 {
		return nil
	}
	var more []haproxy.Inspected
	var err error
	if len(names) > closeLooks {
		more, err = s.looker.all(ctx, s.output)
	} else {
		more, err = s.looker.some(ctx, s.output, names...)
	}
	if err != nil {
		return err
	}
	for i := range v.asked {
		if v.asked[i].Err == "" && more[i].Err != "" { // it has gone meanwhile: the sums have to do
			return nil
		}
	}
	v.asked = slices.Clone(v.asked) // others look at the same answer
	for i := range v.asked {
		v.asked[i].Servers = more[i].Servers
	}
	closer := make(map[string]bool, len(names))
	for _, name := range names {
		closer[name] = true
	}
	v.closer = closer
	return nil
}
