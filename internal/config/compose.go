package config

// Compose returns an object that stands where n does, and that holds other
// values: for files of another program, which say the same with other keys.
// The values keep their own places, so faults name what stands in the file.
func (n *Node) Compose(entries ...Entry[*Node]) *Node {
	c := &Node{kind: Object, src: n.src, at: n.at, parent: n.parent, name: n.name}
	var index keyIndex
	for _, e := range entries {
		c.addKey(key{name: e.Key, at: e.Value.at}, e.Value, &index)
	}
	return c
}

// ComposeList is Compose for a list.
func (n *Node) ComposeList(items ...*Node) *Node {
	return &Node{kind: List, src: n.src, at: n.at, parent: n.parent, name: n.name, items: items}
}

// Literal returns a text that stands where n does.
func (n *Node) Literal(text string) *Node {
	return &Node{kind: String, text: text, src: n.src, at: n.at, parent: n.parent, name: n.name}
}
