package watchers

import (
	"fmt"
	"strconv"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// labelFilter passes backends whose label has a value, or has not. Those of a
// whole service are the hub's; these are of one source among several.
type labelFilter struct {
	Label     string `cfg:"label,required" doc:"Name of the label."`
	Value     string `cfg:"value,required" doc:"Value to compare with."`
	Condition string `cfg:"condition" default:"equals" doc:"equals or not-equals."`
}

// filters decodes the label filters of a source; the old singular form comes
// first.
func filters(n *config.Node, r *config.Report) []labelFilter {
	var o struct {
		Filter  *labelFilter  `cfg:"label_filter"`
		Filters []labelFilter `cfg:"label_filters"`
		Rest    *config.Node  `cfg:",rest"`
	}
	if n.Kind() != config.Object {
		return nil // New says what is wrong
	}
	n.Decode(&o, r)
	if o.Filter != nil {
		o.Filters = append([]labelFilter{*o.Filter}, o.Filters...)
	}
	for _, f := range o.Filters {
		if f.Condition != "equals" && f.Condition != "not-equals" {
			r.Fault(n, "label filter on %q: want the condition equals or not-equals, got %q", f.Label, f.Condition)
		}
	}
	return o.Filters
}

// passed returns the backends that pass all filters.
func passed(s service.Set, all []labelFilter) service.Set {
	if len(all) == 0 {
		return s
	}
	return service.NewSet(func(yield func(service.Backend) bool) {
		for b := range s.All() {
			if passes(b.Labels.Map(), all) && !yield(b) {
				return
			}
		}
	})
}

func passes(labels map[string]any, all []labelFilter) bool {
	for _, f := range all {
		value, there := labels[f.Label]
		if has := there && labelText(value) == f.Value; has != (f.Condition == "equals") {
			return false
		}
	}
	return true
}

// labelText returns a label as a configuration file would write it.
func labelText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
