package watchers

import (
	"slices"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// MultiOptions are the keys of the discovery method multi.
type MultiOptions struct {
	Watchers config.Map[*config.Node] `cfg:"watchers" doc:"The sources by name: each a section as discovery, with a method and its options."`
	Resolver ResolverOptions          `cfg:"resolver,required" doc:"How one set of backends is made of those of the sources."`
}

// ResolverOptions are the keys of resolver.
type ResolverOptions struct {
	Method     string         `cfg:"method,required" doc:"union (all of them), sequential or fallback (the first that has backends), prefer (the first; the others as backups), s3_toggle (the one that a file in S3 says) or base (none)."`
	Order      []string       `cfg:"sequential_order" doc:"The names of all sources, the best first. For sequential, and if given for prefer."`
	S3URL      string         `cfg:"s3_url" doc:"For s3_toggle: s3://bucket/key of a YAML file with a weight for each source."`
	S3Interval config.Seconds `cfg:"s3_polling_interval_seconds" doc:"For s3_toggle: time between two looks at the file, in seconds."`
}

// primary is the source that is tried first where no order is given, and the
// name of discovery beside discovery_multi.
const primary = "primary"

// Compose makes the watcher of a service that has a section discovery_multi
// beside discovery: discovery becomes the source named primary. The
// label_filters of discovery belong to that source alone; those of multi, if
// any, are the caller's. After a fault, which is in r then, the result is nil.
func Compose(discovery, multi *config.Node, d Deps, r *config.Report) service.Watcher {
	if multi.Kind() != config.Object {
		r.Fault(multi, "want an object with watchers and a resolver")
		return nil
	}
	return buildMulti(multi, discovery, d, r)
}

func multiKind(d Deps) kind {
	return kind{options: MultiOptions{}, build: func(n *config.Node, r *config.Report) service.Watcher {
		return buildMulti(n, nil, d, r)
	}}
}

// buildMulti makes the watcher of the section n, and of one source more if
// discovery is not nil.
func buildMulti(n, discovery *config.Node, d Deps, r *config.Report) service.Watcher {
	var o struct {
		Method       string     `cfg:"method" default:"multi"`
		LabelFilters []struct{} `cfg:"label_filters,ignore"`
		LabelFilter  struct{}   `cfg:"label_filter,ignore"`
		MultiOptions
	}
	before := len(r.Faults())
	n.Decode(&o, r)
	if !strings.EqualFold(o.Method, "multi") {
		r.Fault(n.Get("method"), "want multi, got %q", o.Method)
	}
	if discovery != nil {
		o.Watchers = withPrimary(o.Watchers, discovery, r)
	}
	if len(o.Watchers) == 0 {
		r.Fault(n, "watchers: want at least one")
	}
	m := &multi{log: d.Log, statsd: d.Statsd}
	for _, e := range o.Watchers {
		deps := d
		deps.Log = d.Log.With("watcher", e.Key)
		w := New(e.Value, deps, r)
		m.sources = append(m.sources, &source{child: child{name: e.Key}, watcher: w, pass: Filters(e.Value, r)})
	}
	m.resolver = newResolver(n.Get("resolver"), o.Resolver, m, d, r)
	if len(r.Faults()) > before {
		return nil
	}
	return m
}

// withPrimary puts discovery where the user gave a source named primary, else
// at the end.
func withPrimary(list config.Map[*config.Node], discovery *config.Node, r *config.Report) config.Map[*config.Node] {
	p := config.Entry[*config.Node]{Key: primary, Value: discovery, Node: discovery}
	i := slices.IndexFunc(list, func(e config.Entry[*config.Node]) bool { return e.Key == primary })
	if i < 0 {
		return append(slices.Clip(list), p)
	}
	r.Warn(list[i].Node, "is not used: the section discovery is the source named primary")
	list = slices.Clone(list)
	list[i] = p
	return list
}

// newResolver returns nil after a fault.
func newResolver(n *config.Node, o ResolverOptions, m *multi, d Deps, r *config.Report) resolver {
	names := m.names()
	resolvers := []string{"base", "fallback", "prefer", "s3_toggle", "sequential", "union"}
	method := strings.ToLower(o.Method)
	if len(o.Order) > 0 && (method == "sequential" || method == "prefer") {
		checkOrder(n.Get("sequential_order"), o.Order, names, r)
	}
	switch method {
	case "union":
		return union{}
	case "sequential":
		if len(o.Order) == 0 {
			r.Fault(n, "sequential_order: want the names of all sources, the best first")
		}
		return &sequential{order: o.Order}
	case "fallback":
		return &sequential{order: primaryFirst(names)}
	case "prefer":
		if len(o.Order) == 0 {
			o.Order = primaryFirst(names)
		}
		return prefer{order: o.Order}
	case "s3_toggle":
		return newToggle(n, o, m, d, r)
	case "base":
		r.Warn(n.Get("method"), "base never finds a backend; it is meant to be replaced")
		return nothing{}
	}
	if n.Get("method").IsNull() {
		return nil // its absence is in r
	}
	r.Fault(n.Get("method"), "unknown resolver %q, want one of %s%s", o.Method, strings.Join(resolvers, ", "), config.DidYouMean(o.Method, resolvers))
	return nil
}

// checkOrder wants each name once.
func checkOrder(n *config.Node, order, names []string, r *config.Report) {
	for i, name := range order {
		switch {
		case !slices.Contains(names, name):
			r.Fault(n, "%q is none of the sources %s", name, strings.Join(names, ", "))
		case slices.Contains(order[:i], name):
			r.Fault(n, "%q stands twice", name)
		}
	}
	for _, name := range names {
		if !slices.Contains(order, name) {
			r.Fault(n, "the source %q is missing", name)
		}
	}
}

func primaryFirst(names []string) []string {
	i := slices.Index(names, primary)
	if i < 0 {
		return names
	}
	return slices.Concat([]string{primary}, names[:i], names[i+1:])
}

// newToggle returns nil after a fault.
func newToggle(n *config.Node, o ResolverOptions, m *multi, d Deps, r *config.Report) resolver {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(o.S3URL, "s3://"), "/")
	if !strings.HasPrefix(o.S3URL, "s3://") || bucket == "" || key == "" {
		r.Fault(n, "s3_url: want s3://bucket/key, got %q", o.S3URL)
	}
	if o.S3Interval <= 0 {
		r.Fault(n, "s3_polling_interval_seconds: want a number of seconds above 0")
	}
	if !slices.Contains(m.names(), primary) {
		r.Fault(n, "s3_toggle begins with the source named primary, and there is none")
	}
	toggles := d.Toggles
	if toggles == nil {
		toggles = NewToggles(d.Log, d.Statsd)
	}
	object := object{bucket: bucket, key: key, interval: max(o.S3Interval.Duration(), time.Second)}
	m.follow = func(slot *pickSlot) (release func()) { return toggles.follow(object, slot) }
	return &toggle{current: primary}
}
