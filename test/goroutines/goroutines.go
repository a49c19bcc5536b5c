// Package goroutines tells which goroutines a call started itself, however
// many others the servers and clients around it start meanwhile.
package goroutines

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
)

// Started calls f and returns the stacks of the goroutines that f started on
// the caller's own goroutine and that still run. What those start in turn is
// theirs, and is not looked for.
func Started(f func()) []string {
	before := children()
	f()
	var stacks []string
	for id, stack := range children() {
		if _, old := before[id]; !old {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// header finds a goroutine's number, in the form that runtime.Stack documents
// by example: "goroutine 7 [running]:".
var header = regexp.MustCompile(`^goroutine (\d+) `)

// children returns the stacks of the goroutines that the caller's goroutine
// started, by their numbers, which the runtime never uses twice.
func children() map[string]string {
	self := header.FindStringSubmatch(stacks(false))[1]
	created := fmt.Sprintf(" in goroutine %s\n", self)
	found := make(map[string]string)
	for stack := range strings.SplitSeq(stacks(true), "\n\n") {
		if strings.Contains(stack+"\n", created) {
			found[header.FindStringSubmatch(stack)[1]] = stack
		}
	}
	return found
}

// stacks returns the whole dump, of all goroutines or of the caller's.
func stacks(all bool) string {
	for size := 1 << 16; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, all); n < size {
			return string(buf[:n])
		}
	}
}
