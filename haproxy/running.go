package haproxy

import (
	"net/netip"
	"slices"
	"strings"

	"smartstack/haproxy/socket"
)

// Running is what one HAProxy process says that it runs.
type Running struct {
	Info socket.Info
	// Backends holds the servers of those backends that exist and that were
	// asked about, by the backend's name.
	Backends map[string][]socket.ServerState
}

// ServerRef names one server in HAProxy.
type ServerRef struct{ Backend, Server string }

func (r ServerRef) String() string { return r.Backend + "/" + r.Server }

// Known is what we know of a process although it cannot be asked, because we
// did it. It belongs to the goroutine that owns the Runtime and ends with the
// process. The zero value knows nothing.
type Known struct {
	lines    map[ServerRef]string // server lines in force that we told it, without disabled
	rotation map[ServerRef]place
	leaving  map[ServerRef]*leaver
	numbers  map[string]int      // of backends that have servers, as HAProxy counts them
	refused  map[string]refusal  // by command
	order    map[string][]uint64 // of a backend's servers, by hash of the name
	replaced map[ServerRef]bool  // by us, since order was read
	journal  *journal            // keeps lines and rotation; nil = nothing does
}

// place is where we have put a server.
type place int

const (
	unplaced place = iota // we have not touched it
	inside                // in rotation
	outside               // in drain or maintenance
)

// forget drops everything about a server that is gone.
func (k *Known) forget(r ServerRef) {
	delete(k.lines, r)
	delete(k.rotation, r)
	delete(k.leaving, r)
	k.journal.record(journalGone, r, "")
}

// count takes note of the backends' numbers.
func (k *Known) count(run Running) {
	if k.numbers == nil {
		k.numbers = make(map[string]int, len(run.Backends))
	}
	for name, states := range run.Backends {
		if len(states) > 0 && k.numbers[name] != states[0].BackendID {
			// A name may be a part of the whole reply, which must not stay.
			k.numbers[strings.Clone(name)] = states[0].BackendID
		}
	}
}

// put takes note of where we put a server.
func (k *Known) put(r ServerRef, p place) {
	if k.rotation == nil {
		k.rotation = map[ServerRef]place{}
	}
	was := k.rotation[r]
	k.rotation[r] = p
	if p == inside {
		delete(k.leaving, r)
	}
	switch {
	case p == was:
	case p == inside:
		k.journal.record(journalIn, r, "")
	case p == outside:
		k.journal.record(journalOut, r, "")
	}
}

// unsureLine stands for the line of a server that has an old or a new one.
const unsureLine = "?"

// note takes note of the line by which HAProxy knows a server; empty = we do
// not know.
func (k *Known) note(r ServerRef, line string) {
	if k.lines[r] != line {
		k.journal.record(journalLine, r, line)
	}
	if line == "" {
		delete(k.lines, r)
		return
	}
	if k.lines == nil {
		k.lines = map[ServerRef]string{}
	}
	k.lines[r] = line
}

// keep takes note of the lines that stay in force, because what HAProxy has
// loaded or was told passes for what is wanted from the next Sync on.
func (k *Known) keep(list []Kept) {
	for _, kept := range list {
		k.note(kept.Ref, kept.Line)
	}
	k.journal.flush(k)
}

// enabledLine is a server's line without the word that only says where it
// starts.
func enabledLine(s Server) string {
	s.Disabled = false
	return s.Line()
}

// addressKind is how a server's host is to be understood.
type addressKind int

const (
	isSocket addressKind = iota
	isAddress
	isName
)

func kindOfHost(host string) (addressKind, netip.Addr) {
	if isSocketAddress(host) || strings.ContainsAny(host, "@/") {
		return isSocket, netip.Addr{}
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return isAddress, a.Unmap()
	}
	return isName, netip.Addr{}
}

// whereabouts is the verdict on the address of a running server.
type whereabouts int

const (
	right   whereabouts = iota
	wrong               // and can be set to target
	foreign             // and cannot be changed in place
	unclear             // the name has no address that we know of
)

// compareAddress holds a running server against the wanted host and port.
// hosts has the addresses of names.
func compareAddress(want *Server, is *socket.ServerState, hosts map[string][]string) (w whereabouts, target string) {
	kind, addr := kindOfHost(want.Host)
	switch kind {
	case isSocket:
		if is.Addr == "" && is.FQDN == "" {
			return right, ""
		}
		return foreign, ""
	case isAddress:
		target = addr.String()
		if is.Addr == "" {
			return foreign, target // a socket, or a name that had no address when HAProxy started
		}
		if a, err := netip.ParseAddr(is.Addr); err == nil && a.Unmap() == addr && is.Port == want.Port {
			return right, ""
		}
		return wrong, target
	}
	found := hosts[want.Host]
	switch {
	case is.Addr != "" && is.Port == want.Port && (strings.EqualFold(is.FQDN, want.Host) || slices.Contains(found, is.Addr)):
		return right, ""
	case len(found) == 0:
		return unclear, ""
	case is.Addr == "":
		return foreign, found[0]
	}
	return wrong, found[0]
}
