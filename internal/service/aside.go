package service

import "fmt"

// Aside are backends that one of several sources lists and that are not among
// the Backends of its Update: the source's own filters, or the choice among the
// sources, keep them out. The Set is shared with who keeps it anyway.
type Aside struct {
	Source   string
	Backends Set
	Filters  []LabelFilter // of which each of Backends fails one; empty = Reason keeps all of them out
	Reason   string        // a sentence without the source's name
}

// Why says what keeps b out.
func (a *Aside) Why(b *Backend) string {
	if len(a.Filters) > 0 {
		return fmt.Sprintf("filtered out: in source %s, %s", a.Source, WhyNot(b, a.Filters))
	}
	return fmt.Sprintf("left out: source %s %s", a.Source, a.Reason)
}
