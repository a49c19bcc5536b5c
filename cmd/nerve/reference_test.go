package main

import (
	"maps"
	"slices"
	"testing"

	"smartstack/checks"
	"smartstack/internal/config"
	"smartstack/reporters"
	"smartstack/test/reference"
)

func TestReferenceIsUpToDate(t *testing.T) {
	sections := []reference.Section{
		{Title: "Top level", Fields: config.Describe(options{})},
		{
			Title:  "A service",
			Text:   "Each entry of `services`, and each file of `service_conf_dir`.",
			Fields: config.Describe(serviceOptions{}),
		},
	}
	sections = append(sections, reference.Section{
		Title:  "Every registry",
		Text:   "Beside `reporter_type`, or inside each entry of `reporters`.",
		Fields: config.Describe(exposing{}),
	})
	types := reporters.Describe()
	for _, name := range slices.Sorted(maps.Keys(types)) {
		sections = append(sections, reference.Section{
			Title:  "Registry `" + name + "`",
			Text:   "Beside `reporter_type: " + name + "`, or beside `type: " + name + "` in a list of `reporters`.",
			Fields: types[name],
		})
	}
	kinds := checks.Describe()
	sections = append(sections, reference.Section{Title: "`checks`, every type", Fields: kinds[""]})
	for _, name := range checks.Types() {
		sections = append(sections, reference.Section{Title: "`checks`, type `" + name + "`", Fields: kinds[name]})
	}
	reference.Check(t, "../../docs/reference-nerve.md", "nerve: every option", sections)
}
