// Package serverstate keeps the file in which a HAProxy that leaves tells the
// next one which servers are down (server-state-file).
//
// Without it a new HAProxy process takes every server for up until its first
// checks have failed, and forgets what an operator did by hand. The file holds
// the states from just before a reload until just after it.
package serverstate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"smartstack/internal/atomicfile"
)

// None is the content of the file between reloads: a HAProxy that is started
// long after a reload must not believe what was true then.
const None = "1\n"

const fileMode = 0o644

// Write puts text into the file.
func Write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	defer dir.Close()
	// Not synced: no HAProxy survives what syncing is for.
	return atomicfile.Write(dir, filepath.Base(path), text, fileMode, atomicfile.Options{NoSync: true})
}

// Clear empties the file.
func Clear(path string) error { return Write(path, []byte(None)) }

// Offer makes the file if it is not there, because HAProxy warns without.
func Offer(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return Clear(path)
}

// Known reports whether text is an answer to "show servers state" in the format
// that is read here.
func Known(text string) bool { return strings.HasPrefix(text, "1\n#") }

// Server is what a line says of a server.
type Server struct{ Backend, Name, Addr, Port string }

// The columns of a line, which are the same in every version.
const (
	backend, name, addr = 1, 3, 4
	port                = 18 // the last one that is read
)

// Keep returns the answer to "show servers state" with the lines only of those
// servers that keep accepts.
func Keep(states string, keep func(Server) bool) []byte {
	out := make([]byte, 0, len(states)+1)
	for line := range strings.Lines(states) {
		if s, ok := server(line); ok && !keep(s) {
			continue
		}
		out = append(append(out, strings.TrimSuffix(line, "\n")...), '\n')
	}
	return out
}

// server reads a line, unless it is none of a server.
func server(line string) (s Server, ok bool) {
	n := 0
	for word := range strings.FieldsSeq(line) {
		switch n {
		case 0:
			if word == "#" {
				return s, false
			}
		case backend:
			s.Backend = word
		case name:
			s.Name = word
		case addr:
			s.Addr = word
		case port:
			s.Port = word
			return s, true
		}
		n++
	}
	return s, n > addr
}
