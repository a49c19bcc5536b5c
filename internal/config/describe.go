package config

import (
	"reflect"
	"slices"
)

// Field is one option as the reference shows it.
type Field struct {
	Path     string // as in `checks[].uri` or `services.*.port`
	Aliases  []string
	Type     string
	Default  string
	Doc      string
	Required bool
}

// Describe lists the options of a struct in the order of its fields, those of
// inner structs behind the field that holds them.
func Describe(options any) []Field {
	d := &describer{}
	d.structure("", reflect.TypeOf(options))
	return d.fields
}

type describer struct {
	fields []Field
	around []reflect.Type // the structs being described, so that none holds itself
}

func (d *describer) structure(path string, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if slices.Contains(d.around, t) {
		return
	}
	d.around = append(d.around, t)
	defer func() { d.around = d.around[:len(d.around)-1] }()
	for f := range t.Fields() {
		tag := parseTag(f)
		switch {
		case tag.skip || tag.ignored || tag.rest:
		case tag.inline:
			d.structure(path, f.Type)
		default:
			d.option(path, f.Type, tag)
		}
	}
}

func (d *describer) option(path string, t reflect.Type, tag tag) {
	f := Field{Path: joinPath(path, tag.names[0]), Default: tag.def, Doc: tag.doc, Required: tag.required}
	if len(tag.names) > 1 {
		f.Aliases = tag.names[1:]
	}
	word, step, inner := typeOf(t)
	f.Type = word
	d.fields = append(d.fields, f)
	if inner != nil {
		d.structure(f.Path+step, inner)
	}
}

// holder is a generic type of this package that holds another type.
type holder interface{ holds() reflect.Type }

// typeOf names a type for readers, and gives the struct in it, if any, with the
// steps that lead there.
func typeOf(t reflect.Type) (word, step string, inner reflect.Type) {
	switch t {
	case nodeType, reflect.TypeFor[JSON]():
		return "anything", "", nil
	case bigIntType:
		return "whole number", "", nil
	case reflect.TypeFor[Seconds]():
		return "seconds", "", nil
	case envType:
		return "text", "", nil
	}
	if h, ok := reflect.TypeAssert[holder](reflect.New(t)); ok {
		word, step, inner = typeOf(h.holds())
		if _, named := h.(interface{ named() }); named {
			return "object of " + word, ".*" + step, inner
		}
		return word, step, inner
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeOf(t.Elem())
	case reflect.Struct:
		return "object", "", t
	case reflect.Slice:
		word, step, inner = typeOf(t.Elem())
		return "list of " + word, "[]" + step, inner
	case reflect.Map:
		word, step, inner = typeOf(t.Elem())
		return "object of " + word, ".*" + step, inner
	case reflect.String:
		return "text", "", nil
	case reflect.Bool:
		return "boolean", "", nil
	case reflect.Float32, reflect.Float64:
		return "number", "", nil
	default:
		return "whole number", "", nil
	}
}
