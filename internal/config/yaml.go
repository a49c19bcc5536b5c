package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// parseYAML reads the first document, as Ruby does. slashes tells that some
// plain text begins like a comment of JSON.
func (t *text) parseYAML() (n *Node, faults []Fault, slashes bool) {
	b := blankNBSP(t.out)
	if off := yamlTooMany(b); off >= 0 {
		return nil, []Fault{t.fault(off, tooMany)}, false
	}
	y := &yamlTree{text: t, lines: yamlLines(b), seen: b, cols: newColumns(b), open: map[*yaml.Node]bool{}}
	doc, more, err := decodeYAML(b)
	if err != nil {
		return nil, []Fault{y.syntaxFault(err)}, false
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil, []Fault{t.fault(0, "the file is empty")}, false
	}
	if more {
		t.src.warn(t.fault(0, "only the first of several YAML documents is read"))
	}
	built := y.build(doc.Content[0], slot{}, 1)
	if len(y.faults) > 0 {
		return nil, y.faults, y.slashes
	}
	return built, nil, y.slashes
}

// decodeYAML keeps a panic of the library, should there be one, from ending the
// program: the text is foreign.
func decodeYAML(b []byte) (doc yaml.Node, more bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return doc, false, err
	}
	var next yaml.Node
	return doc, !errors.Is(dec.Decode(&next), io.EOF), nil
}

// yamlTree turns yaml.v3's nodes into ours.
type yamlTree struct {
	text    *text
	seen    []byte // what yaml.v3 saw
	cols    columns
	lines   []int // offsets in seen at which lines begin, as yaml.v3 counts them
	open    map[*yaml.Node]bool
	inAlias int
	aliased int
	faults  []Fault
	slashes bool // plain text that begins like a comment of JSON
}

// slot is where a value hangs.
type slot struct {
	parent *Node
	name   string
}

func (y *yamlTree) offset(line, col int) int {
	if line > len(y.lines) {
		return len(y.seen)
	}
	return y.cols.offset(y.cols.before(y.lines[line-1]) + col - 1)
}

func (y *yamlTree) at(v *yaml.Node) place { return y.text.at(y.offset(v.Line, v.Column)) }

func (y *yamlTree) fault(v *yaml.Node, s slot, format string, args ...any) {
	n := &Node{src: y.text.src, at: y.at(v), parent: s.parent, name: s.name}
	y.faults = append(y.faults, n.fault(fmt.Sprintf(format, args...)))
}

// enter counts one step into v and tells whether to go on.
func (y *yamlTree) enter(v *yaml.Node, s slot, depth int) bool {
	if len(y.faults) > 100 || y.aliased > maxAliased {
		return false
	}
	if depth > maxDepth {
		y.fault(v, s, "%s", tooDeep)
		return false
	}
	if y.inAlias > 0 {
		if y.aliased++; y.aliased > maxAliased {
			y.fault(v, slot{}, "aliases repeat more than %d values", maxAliased)
			return false
		}
	}
	return true
}

// build turns v into a Node. Values that come through an alias keep the place
// where they are written and have the path where they are used.
func (y *yamlTree) build(v *yaml.Node, s slot, depth int) *Node {
	n := &Node{src: y.text.src, parent: s.parent, name: s.name}
	if !y.enter(v, s, depth) {
		return n
	}
	if v.Kind == yaml.AliasNode {
		target, leave := y.follow(v, s)
		if target == nil {
			return n
		}
		defer leave()
		return y.build(target, s, depth+1)
	}
	n.at = y.at(v)
	if y.open[v] {
		y.fault(v, s, "the anchor &%s contains itself", v.Anchor)
		return n
	}
	y.open[v] = true
	defer delete(y.open, v)
	switch v.Kind {
	case yaml.MappingNode:
		n.kind = Object
		y.checkTag(v, s, "!!map")
		y.pairs(n, v, depth)
	case yaml.SequenceNode:
		n.kind = List
		y.checkTag(v, s, "!!seq")
		for i, item := range v.Content {
			n.items = append(n.items, y.build(item, slot{n, strconv.Itoa(i)}, depth+1))
		}
	default:
		y.scalar(n, v, s)
	}
	return n
}

// follow returns what an alias stands for; nil after a fault.
func (y *yamlTree) follow(v *yaml.Node, s slot) (target *yaml.Node, leave func()) {
	if v.Alias == nil || y.open[v.Alias] {
		y.fault(v, s, "the alias *%s stands inside its own anchor", v.Value)
		return nil, nil
	}
	y.inAlias++
	return v.Alias, func() { y.inAlias-- }
}

// pairs adds the keys of the mapping v to n.
func (y *yamlTree) pairs(n *Node, v *yaml.Node, depth int) {
	var index keyIndex
	own := map[string]bool{} // the keys written here, not merged
	for i := 0; i+1 < len(v.Content); i += 2 {
		k, value := v.Content[i], v.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			y.merge(n, value, &index, own, depth)
			continue
		}
		if k.Kind == yaml.AliasNode && k.Alias != nil {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			y.fault(k, slot{n, "?"}, "a key must be text")
			continue
		}
		y.plain(k)
		newKey := key{name: k.Value, at: y.at(k)}
		older, again := n.addKey(newKey, y.build(value, slot{n, k.Value}, depth+1), &index)
		if again && own[k.Value] {
			y.text.src.twice(n, newKey, older)
		}
		own[k.Value] = true
	}
}

// merge adds what stands under "<<". Ruby's Psych merges at the place of the
// "<<", so it replaces what is written above it and yields to what is below.
func (y *yamlTree) merge(n *Node, v *yaml.Node, index *keyIndex, own map[string]bool, depth int) {
	if !y.enter(v, slot{n, "<<"}, depth+1) {
		return
	}
	list := []*yaml.Node{v}
	if target := v; target.Kind == yaml.SequenceNode {
		list = target.Content
	}
	// The first of a list wins, so it goes in last.
	for _, l := range slices.Backward(list) {
		y.mergeOne(n, l, index, own, depth)
	}
}

func (y *yamlTree) mergeOne(n *Node, v *yaml.Node, index *keyIndex, own map[string]bool, depth int) {
	s := slot{n, "<<"}
	target, leave := v, func() {}
	if v.Kind == yaml.AliasNode {
		if target, leave = y.follow(v, s); target == nil {
			return
		}
	}
	defer leave()
	if target.Kind != yaml.MappingNode {
		y.fault(v, s, `want an object, or a list of objects, to merge`)
		return
	}
	from := y.build(target, slot{n.parent, n.name}, depth+1)
	for i, k := range from.keys {
		if own[k.name] {
			y.text.src.warn(n.child(y.at(v), k.name).fault("this merge replaces what is written above; write << first if it is to yield"))
		}
		item := from.items[i]
		item.parent = n
		n.addKey(k, item, index)
	}
}

// child is a stand-in for a fault about a key of n.
func (n *Node) child(at place, name string) *Node {
	return &Node{src: n.src, at: at, parent: n, name: name}
}

const notPlain = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// plain looks at the text of a plain scalar for what JSON calls a comment.
func (y *yamlTree) plain(v *yaml.Node) {
	if v.Style&notPlain == 0 && (strings.HasPrefix(v.Value, "//") || strings.HasPrefix(v.Value, "/*")) {
		y.slashes = true
	}
}

// scalar fills n from v.
func (y *yamlTree) scalar(n *Node, v *yaml.Node, s slot) {
	n.text, n.kind = v.Value, String
	quoted := v.Style&notPlain != 0
	if v.Style&yaml.TaggedStyle == 0 {
		if !quoted {
			y.plain(v)
			n.kind, n.plain = resolve(v.Value)
		}
		return
	}
	want := map[string]Kind{"!!str": String, "!!int": Int, "!!float": Float, "!!bool": Bool, "!!null": Null}
	kind, known := want[v.ShortTag()]
	if !known {
		y.fault(v, s, "the tag %s is not supported", clip(v.Tag))
		return
	}
	if kind == String {
		return
	}
	got, plain := resolve(v.Value)
	if got != kind && !(kind == Float && got == Int) {
		y.fault(v, s, "want %s by the tag %s, got %q", kind, v.ShortTag(), clip(v.Value))
		return
	}
	n.kind, n.plain = kind, plain
}

func (y *yamlTree) checkTag(v *yaml.Node, s slot, want string) {
	if v.Style&yaml.TaggedStyle != 0 && v.ShortTag() != want {
		y.fault(v, s, "the tag %s is not supported", clip(v.Tag))
	}
}
