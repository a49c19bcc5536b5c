package haproxy

import (
	"context"
	"fmt"
	"time"

	"smartstack/haproxy/serverstate"
	"smartstack/haproxy/socket"
)

// statesPath is the file of server states that we look after; empty = none.
// Without HAProxy's socket it is for whoever reloads HAProxy.
func (m *memory) statesPath() string {
	if !m.options.DoSocket {
		return ""
	}
	return m.options.ServerStateFile
}

// offerStates makes the file of server states if it is not there.
func (m *memory) offerStates() {
	if path := m.statesPath(); path != "" {
		m.stated(serverstate.Offer(path))
	}
}

// clearStates empties the file: a new process has read it, or never will.
func (m *memory) clearStates() {
	if path := m.statesPath(); path != "" {
		m.stated(serverstate.Clear(path))
	}
}

// carryStates asks HAProxy for the states and leaves them in the file.
func (m *memory) carryStates(ctx context.Context) {
	if m.statesPath() == "" || m.runtime == nil || !m.met {
		return
	}
	text, err := m.runtime.States(ctx)
	if err != nil {
		m.clearStates()
		m.faults.begin("server states", "the state of the servers is not carried over the reload: HAProxy takes them for up until it has checked them", err, time.Now())
		return
	}
	m.stated(serverstate.Write(m.statesPath(), text))
}

// stated takes note of how the writing of the file went.
func (m *memory) stated(err error) {
	if err != nil {
		m.faults.begin("server states", "the state of the servers is not carried over reloads: HAProxy takes them for up until it has checked them", err, time.Now())
		return
	}
	m.faults.end("server states", time.Now())
}

// States returns the states of all servers as HAProxy reads them from a
// server-state-file. Servers that we have taken out of rotation are left out:
// the next process knows them from its file, and would take what it is told
// here for an operator's doing, which we leave alone.
func (r *Runtime) States(ctx context.Context) ([]byte, error) {
	if len(r.procs) == 0 {
		return []byte(serverstate.None), nil
	}
	p := r.procs[0]
	replies, err := send(ctx, p.client, socket.Info{}, []string{"show servers state"})
	if err != nil {
		return nil, err
	}
	if _, err := socket.ParseServersState(replies[0]); err != nil {
		return nil, fmt.Errorf("%s: %w", p.client.Path(), err)
	}
	return p.known.withoutOurs(replies[0]), nil
}

// withoutOurs leaves out the lines of servers that we have taken out.
func (k *Known) withoutOurs(states string) []byte {
	return serverstate.Keep(states, func(s serverstate.Server) bool {
		ref := ServerRef{Backend: s.Backend, Server: s.Name}
		_, leaving := k.leaving[ref]
		return !leaving && k.rotation[ref] != outside
	})
}
