package config

import (
	"reflect"
	"slices"
	"strconv"
)

// structDecoder decodes one object into one struct and what is inlined in it.
type structDecoder struct {
	n     *Node
	r     *Report
	used  []bool        // for each key of n: a field, or nobody on purpose, takes it
	names []string      // every name and alias, for suggestions
	rest  reflect.Value // the field for the other keys
	ok    bool

	// absent objects get their defaults; what they would require is not missed.
	absent bool
}

func decodeStruct(n *Node, v reflect.Value, t tag, r *Report) bool {
	if !n.IsNull() && n.Kind() != Object {
		r.Fault(n, "want an object, got %s", n.show())
		return false
	}
	d := &structDecoder{n: n, r: r, absent: t.absent, ok: true}
	if n.Kind() == Object {
		d.used = make([]bool, len(n.keys))
	}
	d.fields(v)
	d.others()
	d.validate(v)
	// What is wrong inside is reported; the object as such was one.
	return true
}

func (d *structDecoder) fields(v reflect.Value) {
	for i := range v.NumField() {
		t := parseTag(v.Type().Field(i))
		switch {
		case t.skip:
		case t.ignored:
			d.find(t)
		case t.inline:
			d.inline(v, v.Field(i))
		case t.rest:
			d.rest = v.Field(i)
		default:
			d.field(v.Field(i), t)
		}
	}
}

// inline decodes a struct whose options stand beside those of outer. When outer
// has a Validate, perhaps the promoted one of inner, that one speaks for both.
func (d *structDecoder) inline(outer, inner reflect.Value) {
	if inner.Kind() == reflect.Pointer {
		if inner.IsNil() {
			inner.Set(reflect.New(inner.Type().Elem()))
		}
		inner = inner.Elem()
	}
	if inner.Kind() != reflect.Struct {
		d.r.Fault(d.n, "options of type %s cannot stand inline", inner.Type())
		return
	}
	d.fields(inner)
	if !inner.CanAddr() || !inner.Addr().CanInterface() {
		return
	}
	if !isEmbedded(outer, inner) {
		d.validate(inner)
		return
	}
	_, outerSpeaks := reflect.TypeAssert[validator](outer.Addr())
	_, eachSpeaks := reflect.TypeAssert[eachValidator](outer.Addr())
	if !eachSpeaks {
		d.validateEach(inner)
	}
	if !outerSpeaks {
		d.validateAll(inner)
	}
}

func isEmbedded(outer, inner reflect.Value) bool {
	for i := range outer.NumField() {
		if f := outer.Type().Field(i); f.Type == inner.Type() && f.Anonymous {
			return true
		}
	}
	return false
}

// find returns the index of the key that a field takes, -1 when it is absent.
// A null counts as absent unless it is all there is.
func (d *structDecoder) find(t tag) int {
	best := -1
	for _, name := range t.names {
		if !t.ignored {
			d.names = append(d.names, name)
		}
		i := d.index(name)
		if i < 0 {
			continue
		}
		d.used[i] = true
		switch {
		case best < 0 || d.n.items[best].IsNull():
			best = i
		case !d.n.items[i].IsNull() && !t.ignored:
			d.r.warn(d.n.keyFault(i, "means the same as "+strconv.Quote(d.n.keys[best].name)+", which is used instead"))
		}
	}
	return best
}

func (d *structDecoder) index(name string) int {
	if d.used == nil {
		return -1
	}
	return d.n.rank(name, nil)
}

func (d *structDecoder) field(v reflect.Value, t tag) {
	i := d.find(t)
	_, nullable := reflect.TypeAssert[takesNull](v.Addr())
	if i >= 0 && (!d.n.items[i].IsNull() || nullable || v.Type() == nodeType) {
		d.ok = decode(d.n.items[i], v, t, d.r) && d.ok
		return
	}
	switch {
	case t.required:
		d.ok = false
		if !d.absent {
			d.missing(i, t)
		}
	case t.hasDefault:
		d.setDefault(v, t)
	case v.Kind() == reflect.Struct && !nullable && hasDefaults(v):
		stand := d.n
		if stand != nil {
			stand = d.n.child(d.n.at, t.names[0])
		}
		decode(stand, v, tag{absent: true}, d.r)
	}
}

// hasDefaults tells whether an absent object has to be decoded all the same,
// for the defaults in it.
func hasDefaults(v reflect.Value) bool {
	if _, own := reflect.TypeAssert[fromNode](v.Addr()); own {
		return false
	}
	return slices.ContainsFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool {
		t := parseTag(f)
		return !t.skip && (t.hasDefault || f.Type.Kind() == reflect.Struct)
	})
}

func (d *structDecoder) missing(i int, t tag) {
	msg := strconv.Quote(t.names[0]) + " is required"
	if i >= 0 {
		msg += ", but it is null"
	}
	if t.doc != "" {
		msg += ": " + t.doc
	}
	if i >= 0 {
		d.r.add(d.n.keyFault(i, msg))
		return
	}
	d.r.Fault(d.n, "%s", msg)
}

func (d *structDecoder) setDefault(v reflect.Value, t tag) {
	n := defaultNode(t.def)
	if own, ok := reflect.TypeAssert[takesNull](v.Addr()); ok {
		own.fromDefault(n, t, d.r)
		return
	}
	if !n.IsNull() {
		decode(n, v, t, d.r)
	}
}

// defaultNode reads the text of a default tag like a YAML scalar, or, when it
// begins with a bracket, like flow YAML.
func defaultNode(s string) *Node {
	src := &source{name: "default:" + strconv.Quote(s)}
	if s != "" && (s[0] == '[' || s[0] == '{') {
		if n, err := parseSource(src, []byte(s), ReadOptions{}); err == nil {
			return n
		}
	}
	n := &Node{src: src, text: s}
	n.kind, n.plain = resolve(s)
	if s == "" {
		n.kind = String
	}
	return n
}

// others deals with the keys that no field takes.
func (d *structDecoder) others() {
	if d.rest.IsValid() {
		d.collect()
		return
	}
	for i, used := range d.used {
		if used {
			continue
		}
		msg := "unknown option"
		if name := nearest(d.n.keys[i].name, d.known()); name != "" {
			msg += ", did you mean " + strconv.Quote(name) + "?"
		}
		d.r.warn(d.n.keyFault(i, msg))
	}
}

// collect decodes the remaining keys as an object of their own.
func (d *structDecoder) collect() {
	if d.used == nil {
		return
	}
	left := *d.n
	known := d.known()
	left.keys, left.items, left.known = nil, nil, &known
	for i, used := range d.used {
		if !used {
			left.keys = append(left.keys, d.n.keys[i])
			left.items = append(left.items, d.n.items[i])
		}
	}
	d.ok = decode(&left, d.rest, tag{}, d.r) && d.ok
}

// known returns every option that may stand here.
func (d *structDecoder) known() []string {
	if d.n.known == nil {
		return d.names
	}
	return slices.Concat(d.names, *d.n.known)
}
