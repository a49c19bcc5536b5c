package main

import (
	"context"
	"slices"

	"smartstack/haproxy"
	"smartstack/internal/synapse"
)

// closeLooks bounds the services whose servers are asked for one by one.
const closeLooks = 50

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
