package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"smartstack/internal/config"
	"smartstack/test/reference"
	"smartstack/watchers"
)

func TestReferenceIsUpToDate(t *testing.T) {
	sections := []reference.Section{
		{Title: "Top level", Fields: without(config.Describe(options{}), "haproxy.", "file_output.")},
		{Title: "`haproxy`", Fields: config.Describe(options{}.HAProxy)},
		{Title: "`file_output`", Fields: config.Describe(options{}.FileOutput)},
		{
			Title:  "A service",
			Text:   "Each entry of `services`, and each file of `service_conf_dir`.",
			Fields: without(config.Describe(serviceOptions{}), "haproxy.", "file_output."),
		},
		{Title: "A service's `haproxy`", Fields: config.Describe(serviceOptions{}.HAProxy)},
		{Title: "A service's `file_output`", Fields: config.Describe(serviceOptions{}.FileOutput)},
		{Title: "`discovery`, every method", Fields: config.Describe(watchers.FilterOptions{})},
	}
	methods := watchers.Describe()
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		sections = append(sections, reference.Section{Title: "`discovery`, method `" + name + "`", Fields: methods[name]})
	}
	reference.Check(t, "../../docs/reference-synapse.md", "synapse: every option", sections)
}

// without drops the fields below the given prefixes; they have a table of
// their own.
func without(fields []config.Field, prefixes ...string) []config.Field {
	return slices.DeleteFunc(fields, func(f config.Field) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.Path, p) })
	})
}
