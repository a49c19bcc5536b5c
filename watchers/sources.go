package watchers

import (
	"slices"
	"strings"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// Single is one source by itself, as a person may ask about it.
type Single struct {
	Name    string // among the sources of its service; empty = it is the only one
	Method  string
	Watcher service.Watcher       // nil after a fault, which is in the report then
	Filters []service.LabelFilter // of this source, and of those that it is within; not of the service
}

// Singles makes every source of a service by itself: the one that discovery
// names, or those that multi composes, whose resolver is left out. It does no
// I/O.
func Singles(discovery, multi *config.Node, d Deps, r *config.Report) []Single {
	method := strings.ToLower(discovery.Get("method").Text())
	switch {
	case !multi.IsNull():
		return children(multi, discovery, d, r)
	case method == "multi":
		return children(discovery, nil, d, r)
	}
	return []Single{{Method: method, Watcher: New(discovery, d, r)}}
}

// children makes the sources of the section n, and of one source more if
// discovery is not nil.
func children(n, discovery *config.Node, d Deps, r *config.Report) []Single {
	var o struct {
		Watchers config.Map[*config.Node] `cfg:"watchers"`
		Rest     *config.Node             `cfg:",rest"`
	}
	n.Decode(&o, r)
	if discovery != nil {
		o.Watchers = withPrimary(o.Watchers, discovery, r)
	}
	var all []Single
	for _, e := range o.Watchers {
		deps := d
		deps.Log = d.Log.With("watcher", e.Key)
		for _, s := range Singles(e.Value, nil, deps, r) {
			s.Name = strings.TrimSuffix(e.Key+"."+s.Name, ".")
			s.Filters = slices.Concat(s.Filters, Filters(e.Value, r))
			all = append(all, s)
		}
	}
	return all
}
