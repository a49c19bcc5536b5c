package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Fault is one thing that is wrong, or odd, in a file.
type Fault struct {
	File      string
	Line, Col int    // counted from 1; 0 when the place is not known
	Path      string // of the option, empty when it is not about one
	Msg       string
}

// Error returns "file:line:col: path: message".
func (f Fault) Error() string {
	s := f.pos()
	if s != "" {
		s += ": "
	}
	if f.Path != "" {
		s += f.Path + ": "
	}
	return s + f.Msg
}

func (f Fault) pos() string {
	switch {
	case f.Line == 0:
		return f.File
	case f.Col == 0:
		return f.File + ":" + strconv.Itoa(f.Line)
	default:
		return f.File + ":" + strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Col)
	}
}

// Report collects what there is to say about files, so that all of it is shown
// at once. The zero value is ready to use; it serves one goroutine.
type Report struct {
	Strict bool // warnings are faults
	// Getenv is os.LookupEnv, or a test's, for secrets that stand in the
	// environment; nil means that there are none.
	Getenv func(string) (string, bool)

	faults, warnings []Fault
	heard            map[*source]bool
	open             map[string]bool // by file with a secret: everybody may read it
}

// Fork returns a report that begins with what is in r, and leaves r as it is.
func (r *Report) Fork() Report {
	own := *r
	own.faults, own.warnings = slices.Clone(r.faults), slices.Clone(r.warnings)
	own.heard, own.open = maps.Clone(r.heard), maps.Clone(r.open)
	return own
}

// Fault records that n is wrong; n may be nil when there is no place to name.
func (r *Report) Fault(n *Node, format string, args ...any) {
	r.add(n.fault(fmt.Sprintf(format, args...)))
}

// Warn records that n is odd but usable; under Strict that is a fault.
func (r *Report) Warn(n *Node, format string, args ...any) {
	r.warn(n.fault(fmt.Sprintf(format, args...)))
}

// Add records the faults of Read or Parse, and any other error as it is; nil is
// nothing.
func (r *Report) Add(err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			r.Add(e)
		}
		return
	}
	if f, ok := errors.AsType[Fault](err); ok {
		r.add(f)
		return
	}
	r.add(Fault{Msg: err.Error()})
}

// Faults returns the faults sorted by place.
func (r *Report) Faults() []Fault { return slices.Clone(r.faults) }

// Err joins all faults, sorted by place; nil when there are none.
func (r *Report) Err() error {
	return joinFaults(r.faults)
}

// Warnings returns the warnings, sorted by place.
func (r *Report) Warnings() []string {
	lines := make([]string, 0, len(r.warnings))
	for _, w := range r.warnings {
		lines = append(lines, w.Error())
	}
	return lines
}

func (r *Report) add(f Fault) { r.faults = insert(r.faults, f) }

func (r *Report) warn(f Fault) {
	if r.Strict {
		r.add(f)
		return
	}
	r.warnings = insert(r.warnings, f)
}

// hear takes over what was noticed while the file of n was read.
func (r *Report) hear(n *Node) {
	if n == nil || r.heard[n.src] {
		return
	}
	if r.heard == nil {
		r.heard = map[*source]bool{}
	}
	r.heard[n.src] = true
	for _, w := range n.src.warnings {
		r.warn(w)
	}
}

// insert keeps list sorted and free of repetitions.
func insert(list []Fault, f Fault) []Fault {
	i, found := slices.BinarySearchFunc(list, f, compareFaults)
	if found {
		return list
	}
	return slices.Insert(list, i, f)
}

func compareFaults(a, b Fault) int {
	return cmp.Or(
		cmp.Compare(a.File, b.File),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(a.Col, b.Col),
		cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Msg, b.Msg),
	)
}

// before tells whether f stands before g in the same file.
func (f Fault) before(g Fault) bool {
	return f.Line < g.Line || f.Line == g.Line && f.Col < g.Col
}

// fault says msg about n.
func (n *Node) fault(msg string) Fault {
	if n == nil {
		return Fault{Msg: msg}
	}
	return Fault{File: n.src.name, Line: n.at.line, Col: n.at.col, Path: n.Path(), Msg: msg}
}

// keyFault says msg about the i-th key of n.
func (n *Node) keyFault(i int, msg string) Fault {
	k := n.keys[i]
	return Fault{File: n.src.name, Line: k.at.line, Col: k.at.col, Path: joinPath(n.Path(), k.name), Msg: msg}
}

func joinFaults(faults []Fault) error {
	errs := make([]error, 0, len(faults))
	for _, f := range faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}
