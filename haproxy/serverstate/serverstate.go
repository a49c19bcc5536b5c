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
func Write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	defer dir.Close()
	// Not synced: no HAProxy survives what syncing is for.
	return atomicfile.Write(dir, filepath.Base(path), []byte(text), fileMode, atomicfile.Options{NoSync: true})
}

// Offer makes the file if it is not there, because HAProxy warns without.
func Offer(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return Write(path, None)
}

// Server is what a line says of a server.
type Server struct{ Backend, Name, Addr, Port string }

// The columns of a line, which are the same in every version.
const (
	backend, name, addr = 1, 3, 4
	port                = 18
)

// Keep returns the answer to "show servers state" with the lines only of those
// servers that keep accepts.
func Keep(states string, keep func(Server) bool) string {
	var out strings.Builder
	out.Grow(len(states) + 1)
	for line := range strings.Lines(states) {
		if f := strings.Fields(line); len(f) > addr && f[0] != "#" {
			s := Server{Backend: f[backend], Name: f[name], Addr: f[addr]}
			if len(f) > port {
				s.Port = f[port]
			}
			if !keep(s) {
				continue
			}
		}
		out.WriteString(strings.TrimSuffix(line, "\n"))
		out.WriteByte('\n')
	}
	return out.String()
}
