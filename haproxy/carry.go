package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/atomicfile"
)

// Without help a new HAProxy process takes every server for up until its first
// checks have failed, and forgets what an operator did by hand. So the states
// are left in a file before a reload, where the new process finds them.

// noStates is the content of the file between reloads: a HAProxy that is
// started long after a reload must not believe what was true then.
const noStates = "1\n"

// offerStates makes the file if it is not there, because HAProxy warns without.
func (m *memory) offerStates() {
	path := m.options.ServerStateFile
	if path == "" {
		return
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		m.clearStates()
	}
}

// clearStates empties the file: a new process has read it, or never will.
func (m *memory) clearStates() {
	if m.options.ServerStateFile != "" {
		m.leaveStates(noStates)
	}
}

// carryStates asks HAProxy for the states and leaves them in the file.
func (m *memory) carryStates(ctx context.Context) {
	if m.options.ServerStateFile == "" || m.runtime == nil || !m.met {
		return
	}
	text, err := m.runtime.States(ctx)
	if err != nil {
		m.clearStates()
		m.faults.begin("server states", "the state of the servers is not carried over the reload: HAProxy takes them for up until it has checked them", err, time.Now())
		return
	}
	m.leaveStates(text)
}

func (m *memory) leaveStates(text string) {
	if err := writeStates(m.options.ServerStateFile, text); err != nil {
		m.faults.begin("server states", "the state of the servers is not carried over reloads: HAProxy takes them for up until it has checked them", err, time.Now())
		return
	}
	m.faults.end("server states", time.Now())
}

func writeStates(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("server state file %s: %w", path, err)
	}
	defer dir.Close()
	// Not synced: no HAProxy survives what syncing is for.
	return atomicfile.Write(dir, filepath.Base(path), []byte(text), defaultMode, atomicfile.Options{NoSync: true})
}

// States returns the states of all servers as HAProxy reads them from a
// server-state-file. Servers that we have taken out of rotation are left out:
// the next process knows them from its file, and would take what it is told
// here for an operator's doing, which we leave alone.
func (r *Runtime) States(ctx context.Context) (string, error) {
	if len(r.procs) == 0 {
		return noStates, nil
	}
	p := r.procs[0]
	replies, err := send(ctx, p.client, socket.Info{}, []string{"show servers state"})
	if err != nil {
		return "", err
	}
	if _, err := socket.ParseServersState(replies[0]); err != nil {
		return "", fmt.Errorf("%s: %w", p.client.Path(), err)
	}
	return p.known.withoutOurs(replies[0]), nil
}

// withoutOurs leaves out the lines of servers that we have taken out.
func (k *Known) withoutOurs(states string) string {
	var out strings.Builder
	out.Grow(len(states) + 1)
	for line := range strings.Lines(states) {
		if f := strings.Fields(line); len(f) > 3 {
			ref := ServerRef{Backend: f[1], Server: f[3]}
			if _, leaving := k.leaving[ref]; leaving || k.rotation[ref] == outside {
				continue
			}
		}
		out.WriteString(strings.TrimSuffix(line, "\n"))
		out.WriteByte('\n')
	}
	return out.String()
}
