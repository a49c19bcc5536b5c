package service

import (
	"fmt"
	"strconv"
)

// LabelFilter passes backends whose label has a value, or has not.
type LabelFilter struct {
	Label, Value string
	Not          bool // passes what does not have the value, a missing label too
}

// Filter returns the backends that pass all filters.
func (s Set) Filter(filters []LabelFilter) Set {
	if len(filters) == 0 {
		return s
	}
	var list []Backend
	for _, b := range s.list {
		if passes(b.Labels.Map(), filters) {
			list = append(list, b)
		}
	}
	return Set{list: list}
}

func passes(labels map[string]any, filters []LabelFilter) bool {
	for _, f := range filters {
		value, there := labels[f.Label]
		if has := there && labelText(value) == f.Value; has == f.Not {
			return false
		}
	}
	return true
}

// Split returns the backends that pass all filters, and the others.
func (s Set) Split(filters []LabelFilter) (in, out Set) {
	in = s.Filter(filters)
	if in.Len() == s.Len() {
		return in, Set{}
	}
	for i := range s.list {
		if !passes(s.list[i].Labels.Map(), filters) {
			out.list = append(out.list, s.list[i])
		}
	}
	return in, out
}

// WhyNot says which of the filters b does not pass first; empty = it passes all.
func WhyNot(b *Backend, filters []LabelFilter) string {
	labels := b.Labels.Map()
	for _, f := range filters {
		if passes(labels, []LabelFilter{f}) {
			continue
		}
		has := "it has no such label"
		if v, ok := labels[f.Label]; ok {
			has = fmt.Sprintf("it has %q", fmt.Sprint(v))
		}
		want := "="
		if f.Not {
			want = "other than"
		}
		return fmt.Sprintf("label_filters want label %q %s %q, and %s", f.Label, want, f.Value, has)
	}
	return ""
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
