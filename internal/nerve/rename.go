package nerve

// vacant returns the names that are not wanted any more, by what their services
// register.
func (r *runner) vacant(wanted map[string]bool) map[string]string {
	names := map[string]string{}
	for name, p := range r.places {
		if !wanted[name] && p.next == nil {
			names[p.unit.svc.Entry] = name
		}
	}
	return names
}

// rename gives the place of a service to one that has another name and
// registers the same. That one takes over, as after a change: withdrawing first
// would leave a gap.
func (r *runner) rename(old string, s Service) {
	p := r.places[old]
	delete(r.places, old)
	r.places[s.Name] = p
	if p.drain != nil {
		p.drain.cancel()
		p.drain = nil
	}
	r.log.Info("the service has a new name", "service", s.Name, "before", old)
	p.obey(r.settled(s.Name))
	r.replace(p, s)
}

// settled returns the order for a service that has just come. There is nothing
// to drain yet.
func (r *runner) settled(name string) Order {
	o := r.orders[name]
	if o.draining() {
		out := *o.Out
		out.Drained = true
		o.Out = &out
		r.orders[name] = o
	}
	return o
}
