package watchers

import (
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// FilterOptions are the label filters of a discovery section. Those of a whole
// service are for the caller to carry out, those of one source among several
// are carried out here.
type FilterOptions struct {
	Filter  *FilterOption  `cfg:"label_filter" doc:"Old form of one label filter."`
	Filters []FilterOption `cfg:"label_filters" doc:"Filters on labels; all must pass."`
}

// FilterOption is one label filter.
type FilterOption struct {
	Label     string `cfg:"label,required" doc:"Name of the label."`
	Value     string `cfg:"value,required" doc:"Value to compare with."`
	Condition string `cfg:"condition" default:"equals" doc:"equals or not-equals."`
}

// Filters decodes the label filters of the section n; the old singular form
// comes first.
func Filters(n *config.Node, r *config.Report) []service.LabelFilter {
	var o struct {
		FilterOptions
		Rest *config.Node `cfg:",rest"`
	}
	if n.Kind() != config.Object {
		return nil // New says what is wrong
	}
	n.Decode(&o, r)
	if o.Filter != nil {
		o.Filters = append([]FilterOption{*o.Filter}, o.Filters...)
	}
	var filters []service.LabelFilter
	for _, f := range o.Filters {
		if f.Condition != "equals" && f.Condition != "not-equals" {
			r.Fault(n, "label filter on %q: want the condition equals or not-equals, got %q", f.Label, f.Condition)
		}
		filters = append(filters, service.LabelFilter{Label: f.Label, Value: f.Value, Not: f.Condition == "not-equals"})
	}
	return filters
}
