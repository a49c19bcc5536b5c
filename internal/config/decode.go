package config

// Decode fills the struct, or any other supported value, that into points to.
// Faults and warnings go to r; what could not be decoded keeps its value.
func (n *Node) Decode(into any, r *Report) { panic("config: not written yet") }

// Canonical returns n as compact JSON with its keys in file order. Equal values
// have equal texts; that decides on HUP which actors are kept.
func (n *Node) Canonical() JSON { panic("config: not written yet") }
