package config

import (
	"strconv"
	"strings"
)

// Kind says what a Node holds.
type Kind uint8

// The kinds of a Node. Int and Float are told apart by how they are written.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	List
	Object
)

// String names the kind as a fault does.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Int, Float:
		return "a number"
	case String:
		return "text"
	case List:
		return "a list"
	default:
		return "an object"
	}
}

// Node is one value of a file together with its place. A tree of Nodes is
// never modified after Parse, so goroutines may share it.
type Node struct {
	kind   Kind
	text   string // scalars: a string's content, else the value as written
	plain  string // scalars: the value in JSON's form
	items  []*Node
	keys   []key // objects: one for each item
	src    *source
	at     place
	parent *Node
	name   string // the step from the parent: a key, or an index
	// known are further options, where this object is what is left of one that had
	// them beside these keys; nil = there are none.
	known *[]string
}

// key is one key of an object and where it is written.
type key struct {
	name string
	at   place
}

// place is a line and a column, both counted from 1; columns count characters.
type place struct{ line, col int }

// source is one file: its name, where its tree hangs, and what there is to say
// about it that is no fault.
type source struct {
	name     string
	prefix   string // path of the root, for files of service_conf_dir
	warnings []Fault
}

// warn notes f; a file with thousands of oddities is told about the first ones.
func (s *source) warn(f Fault) {
	if len(s.warnings) < 1000 {
		s.warnings = append(s.warnings, f)
	}
}

// Kind returns what n holds; a nil Node is Null.
func (n *Node) Kind() Kind {
	if n == nil {
		return Null
	}
	return n.kind
}

// IsNull tells whether n is absent or null.
func (n *Node) IsNull() bool { return n.Kind() == Null }

// Text returns a scalar: the content of a string, anything else as it is
// written in the file.
func (n *Node) Text() string {
	if n == nil {
		return ""
	}
	return n.text
}

// Get returns the value under key; nil when n is no object or has no such key.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	if i := n.rank(key, nil); i >= 0 {
		return n.items[i]
	}
	return nil
}

// Keys returns the keys of an object in file order.
func (n *Node) Keys() []string {
	if n == nil {
		return nil
	}
	names := make([]string, len(n.keys))
	for i := range n.keys {
		names[i] = n.keys[i].name
	}
	return names
}

// Items returns the elements of a list, or the values of an object in file
// order. The caller must not modify the slice.
func (n *Node) Items() []*Node {
	if n == nil {
		return nil
	}
	return n.items
}

// Pos returns the place as "file:line:col".
func (n *Node) Pos() string {
	if n == nil {
		return ""
	}
	f := Fault{File: n.src.name, Line: n.at.line, Col: n.at.col}
	return f.pos()
}

// Path returns the way from the root, as in `services.web.checks[0].port`;
// empty for the root.
func (n *Node) Path() string {
	if n == nil {
		return ""
	}
	if n.parent == nil {
		return n.src.prefix
	}
	if n.parent.kind == List {
		return n.parent.Path() + "[" + n.name + "]"
	}
	return joinPath(n.parent.Path(), n.name)
}

// joinPath appends a key to a path; keys that would be read as several steps
// are quoted.
func joinPath(path, key string) string {
	key = clip(key)
	switch {
	case key == "" || strings.ContainsAny(key, ". []\"\t\r\n"):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// keyIndex finds the keys of an object that is being built; it stays nil while
// there are few.
type keyIndex map[string]int

// addKey gives the object n a key; a key that is there already keeps its rank
// and gets the new value, as in Ruby. It returns the older place, if any.
func (n *Node) addKey(k key, value *Node, index *keyIndex) (older place, replaced bool) {
	if i := n.rank(k.name, *index); i >= 0 {
		older = n.keys[i].at
		n.keys[i], n.items[i] = k, value
		return older, true
	}
	n.keys = append(n.keys, k)
	n.items = append(n.items, value)
	const few = 12
	switch {
	case *index != nil:
		(*index)[k.name] = len(n.keys) - 1
	case len(n.keys) > few:
		*index = make(keyIndex, 4*few)
		for i := range n.keys {
			(*index)[n.keys[i].name] = i
		}
	}
	return place{}, false
}

// rank returns the index of a key, -1 when n has none of that name.
func (n *Node) rank(name string, index keyIndex) int {
	if index != nil {
		if i, ok := index[name]; ok {
			return i
		}
		return -1
	}
	for i := range n.keys {
		if n.keys[i].name == name {
			return i
		}
	}
	return -1
}
