package config

import "reflect"

// fromNode is called for null too.
func (o *Optional[T]) fromNode(n *Node, t tag, r *Report) bool {
	if n.IsNull() {
		*o = Optional[T]{Set: true, Null: true}
		return true
	}
	o.Set = true
	return decode(n, reflect.ValueOf(&o.Value).Elem(), t, r)
}

// fromDefault leaves Set false: the key is absent.
func (o *Optional[T]) fromDefault(n *Node, t tag, r *Report) bool {
	return n.IsNull() || decode(n, reflect.ValueOf(&o.Value).Elem(), t, r)
}

func (o *Optional[T]) holds() reflect.Type { return reflect.TypeFor[T]() }

func (m *Map[T]) fromNode(n *Node, t tag, r *Report) bool {
	if n.Kind() != Object {
		r.Fault(n, "want an object, got %s", n.show())
		return false
	}
	ok := true
	list := make(Map[T], len(n.keys))
	for i, k := range n.keys {
		e := &list[i]
		e.Key, e.Node = k.name, n.items[i]
		ok = decode(e.Node, reflect.ValueOf(&e.Value).Elem(), t, r) && ok
	}
	*m = list
	return ok
}

func (m *Map[T]) holds() reflect.Type { return reflect.TypeFor[T]() }

func (m *Map[T]) named() {}

func (j *JSON) fromNode(n *Node, _ tag, _ *Report) bool {
	*j = n.Canonical()
	return true
}
