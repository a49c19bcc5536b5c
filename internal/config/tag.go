package config

import (
	"reflect"
	"strings"
)

// tag is what a struct field says about its option.
type tag struct {
	absent                      bool     // not from the tag: the object is absent and only gets its defaults
	names                       []string // the name, then its aliases
	required, negative          bool
	skip, inline, rest, ignored bool
	def                         string
	hasDefault                  bool
	doc                         string
}

// parseTag reads `cfg:"name|alias,required,negative" default:"…" doc:"…"`.
func parseTag(f reflect.StructField) tag {
	cfg, tagged := f.Tag.Lookup("cfg")
	t := tag{doc: f.Tag.Get("doc")}
	t.def, t.hasDefault = f.Tag.Lookup("default")
	names, words, _ := strings.Cut(cfg, ",")
	if names != "" {
		t.names = strings.Split(names, "|")
	}
	for word := range strings.SplitSeq(words, ",") {
		switch word {
		case "required":
			t.required = true
		case "negative":
			t.negative = true
		case "inline":
			t.inline = true
		case "rest":
			t.rest = true
		case "ignore":
			t.ignored = true
		}
	}
	t.inline = t.inline || f.Anonymous && names == "" && f.Type.Kind() == reflect.Struct
	exported := f.IsExported() || t.inline || t.ignored
	t.skip = cfg == "-" || !exported || !t.inline && !t.rest && len(t.names) == 0 || !tagged && !t.inline
	return t
}
