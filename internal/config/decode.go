package config

import (
	"fmt"
	"math/big"
	"reflect"

	"smartstack/internal/secret"
)

// Decode fills the struct, or any other supported value, that into points to.
// Faults and warnings go to r; what could not be decoded keeps its value. A nil
// or null Node decodes as an object without keys.
//
// When *T has a method ValidateEach(n *Node, r *Report) it is called once the
// fields of T are decoded, for rules about one option each: what it says about
// options that have a fault already is dropped. Then, when no field has a
// fault, Validate(n *Node, r *Report) is, for rules between options. Inner
// structs come first.
func (n *Node) Decode(into any, r *Report) {
	r.hear(n)
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		r.Fault(n, "cannot decode into %T: want a pointer", into)
		return
	}
	decode(n, v.Elem(), tag{}, r)
}

// fromNode is how the generic types of this package decode themselves. A type
// assertion finds it: methods looked up by name would keep every exported
// method of every library in the binary.
type fromNode interface {
	fromNode(n *Node, t tag, r *Report) bool
}

// takesNull is a fromNode for which null is no absence.
type takesNull interface {
	fromDefault(n *Node, t tag, r *Report) bool
}

// eachValidator is implemented by options that have rules for single fields.
type eachValidator interface {
	ValidateEach(n *Node, r *Report)
}

// validator is implemented by options that have rules between their fields.
type validator interface {
	Validate(n *Node, r *Report)
}

var (
	nodeType   = reflect.TypeFor[*Node]()
	bigIntType = reflect.TypeFor[*big.Int]()
	textType   = reflect.TypeFor[secret.Text]()
	envType    = reflect.TypeFor[secret.Env]()
)

// decode sets v from n and tells whether it could.
func decode(n *Node, v reflect.Value, t tag, r *Report) bool {
	if own, ok := reflect.TypeAssert[fromNode](v.Addr()); ok {
		return own.fromNode(n, t, r)
	}
	switch v.Type() {
	case nodeType:
		v.Set(reflect.ValueOf(n))
		return true
	case bigIntType:
		i, err := n.bigInt()
		if err != nil {
			r.Fault(n, "%v", err)
			return false
		}
		v.Set(reflect.ValueOf(i))
		return true
	case envType:
		return decodeEnv(n, v, r)
	case textType:
		r.keep(n)
	}
	switch v.Kind() {
	case reflect.Struct:
		return decodeStruct(n, v, t, r)
	case reflect.Slice:
		return decodeList(n, v, t, r)
	case reflect.Map:
		return decodeMap(n, v, t, r)
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		ok := decode(n, p.Elem(), t, r)
		v.Set(p)
		return ok
	}
	if err := decodeScalar(n, v); err != nil {
		r.Fault(n, "%v", err)
		return false
	}
	return true
}

// decodeList accepts a single value for a list of one, as the originals' users
// write it.
func decodeList(n *Node, v reflect.Value, t tag, r *Report) bool {
	items := []*Node{n}
	switch n.Kind() {
	case List:
		items = n.items
	case Null:
		items = nil
	}
	list, ok := reflect.MakeSlice(v.Type(), len(items), len(items)), true
	for i, item := range items {
		if !decode(item, list.Index(i), t, r) {
			ok = false
		}
	}
	v.Set(list)
	return ok
}

func decodeMap(n *Node, v reflect.Value, t tag, r *Report) bool {
	if v.Type().Key().Kind() != reflect.String {
		r.Fault(n, "options of type %s are not supported", v.Type())
		return false
	}
	if n.Kind() != Object {
		r.Fault(n, "want an object, got %s", n.show())
		return false
	}
	m, ok := reflect.MakeMapWithSize(v.Type(), len(n.keys)), true
	for i, k := range n.keys {
		value := reflect.New(v.Type().Elem()).Elem()
		if !decode(n.items[i], value, t, r) {
			ok = false
			continue
		}
		m.SetMapIndex(reflect.ValueOf(k.name).Convert(v.Type().Key()), value)
	}
	v.Set(m)
	return ok
}

// show names the value of n for a message: `"30x0"`, `80.5` or "a list".
func (n *Node) show() string {
	switch n.Kind() {
	case Null, List, Object:
		return n.Kind().String()
	case String:
		return fmt.Sprintf("%q", clip(n.text))
	default:
		return clip(n.text)
	}
}
