package preflight

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Fault is why HAProxy could not run with a line.
type Fault struct {
	Line int // of the text, from 1
	Err  error
}

// Check is Faults in one line; nil = no reason is known.
func Check(text, running []byte, process Process) error {
	var texts []string
	faults := Faults(text, running, process)
	for _, f := range faults[:min(len(faults), maxFaults)] {
		texts = append(texts, fmt.Sprintf("[line %d] %v", f.Line, f.Err))
	}
	if more := len(faults) - maxFaults; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

// maxFaults is how many faults one message has.
const maxFaults = 5

// Faults returns why a HAProxy that belongs to process could not run with text,
// in which `haproxy -c` has found no fault. Whatever running, the text that it
// runs with, listens on is taken to be HAProxy's own.
func Faults(text, running []byte, process Process) []Fault {
	return faults(text, running, process, lookupLocalhost)
}

func faults(text, running []byte, process Process, localhost func() []netip.Addr) []Fault {
	localhost = sync.OnceValue(localhost) // thousands of lines may ask for it
	f, ok := parse(text, localhost)
	if !ok {
		return nil
	}
	held := map[listener]bool{}
	if r, ok := parse(running, localhost); ok {
		for _, b := range r.binds {
			for _, l := range b.may {
				held[l] = true
			}
		}
	}
	list := process.faults(f.global)
	for _, b := range f.binds {
		if f.alone || slices.ContainsFunc(b.may, func(l listener) bool { return held[l] }) {
			continue
		}
		if err := b.try(process); err != nil {
			list = append(list, Fault{b.line, err})
		}
	}
	return list
}
