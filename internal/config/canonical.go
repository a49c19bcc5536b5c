package config

import "github.com/tailscale/hujson"

// Canonical returns n as compact JSON with its keys in file order. Equal values
// have equal texts; that decides on HUP which actors are kept. It is empty for
// a nil Node.
func (n *Node) Canonical() JSON {
	if n == nil {
		return ""
	}
	return JSON(n.appendJSON(nil))
}

func (n *Node) appendJSON(b []byte) []byte {
	switch n.kind {
	case Null:
		return append(b, "null"...)
	case String:
		return append(b, hujson.String(n.text)...)
	case Object:
		b = append(b, '{')
		for i, k := range n.keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, hujson.String(k.name)...), ':')
			b = n.items[i].appendJSON(b)
		}
		return append(b, '}')
	case List:
		b = append(b, '[')
		for i, item := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.appendJSON(b)
		}
		return append(b, ']')
	default:
		return append(b, n.plain...)
	}
}
