package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"smartstack/haproxy/master"
	"smartstack/haproxy/preflight"
	"smartstack/internal/atomicfile"
)

// checkOff is the haproxy_path that turns the built-in check off.
const checkOff = "off"

// checkFunc looks at the text that is staged at path. It returns the path that
// the check's messages name.
type checkFunc func(ctx context.Context, path string, text []byte) (string, error)

// isRefusal tells a check that says no from one that could not be done.
func isRefusal(err error) bool {
	e, ok := errors.AsType[*commandError](err)
	return ok && e.Refused
}

// newCheck returns the check that the options ask for: check_command with
// do_checks, else HAProxy's own when it is installed here; nil = none.
func newCheck(o *Options, env []string) checkFunc {
	if o.DoChecks {
		return func(ctx context.Context, path string, text []byte) (string, error) {
			if o.CandidateConfigPath != "" {
				path = o.CandidateConfigPath
				remove, err := writeCandidate(path, text)
				if err != nil {
					return "", err
				}
				defer remove()
			}
			return path, shellCommand(ctx, o.CheckCommand, env, o.CheckTimeout.Duration())
		}
	}
	bin := findHAProxy(o.HAProxyPath, env)
	if bin == "" {
		return nil
	}
	return func(ctx context.Context, path string, _ []byte) (string, error) {
		argv := []string{bin, "-c", "-f", path}
		err := runCommand(ctx, strings.Join(argv, " "), argv, env, o.CheckTimeout.Duration())
		if e, ok := errors.AsType[*commandError](err); ok && strings.Contains(e.Output, "has no error but will not start (no listener)") {
			err = nil // a text without mistakes, of somebody who has not given any service a port yet
		}
		if err != nil && !isRefusal(err) {
			err = fmt.Errorf("%w (haproxy_path names another program, or off for no check)", err)
		}
		return path, err
	}
}

// errCannotRun says that a text without mistakes asks for what HAProxy cannot have
// now.
var errCannotRun = errors.New("HAProxy could not run with it")

// mayRun refuses what HAProxy would find out only while it loads the file, when
// the one before has been told to make room.
func (p *publisher) mayRun(path string, text []byte) error {
	if p.faults == nil {
		return nil
	}
	var said strings.Builder
	for _, f := range p.faults(text, p.content()) {
		fmt.Fprintf(&said, "[%s:%d] : %v\n", path, f.Line, f.Err)
	}
	if said.Len() == 0 {
		return nil
	}
	return &commandError{Line: "trying what " + path + " asks for", Output: said.String(), Err: errCannotRun, Refused: true}
}

// newFaults asks for the faults of a HAProxy that is our child; nil = it is not, so
// that it may live where other ports are free.
func newFaults(o *Options, env []string) func(text, running []byte) []preflight.Fault {
	program := findHAProxy(o.HAProxyPath, env)
	if !o.Supervise || program == "" {
		return nil
	}
	return func(text, running []byte) []preflight.Fault {
		return preflight.Faults(text, running, preflight.Self(program))
	}
}

// writeCandidate writes the file that check_command looks at. It is removed
// after the check, as the original moved it away.
func writeCandidate(path string, text []byte) (remove func(), err error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	err = atomicfile.Write(dir, filepath.Base(path), text, defaultMode, atomicfile.Options{NoSync: true})
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() {
		_ = dir.Remove(filepath.Base(path)) // one left behind does no harm
		_ = dir.Close()
	}, nil
}

// findHAProxy returns the program to check with; empty = there is none.
func findHAProxy(path string, env []string) string {
	if path == checkOff {
		return ""
	}
	return master.Program(path, env)
}

// proven reports whether m needs no check, because it differs from what was
// accepted only in servers of a kind that was accepted before: literal
// addresses with options that another server of the same service has. A check
// costs 30 ms and more, a change of members should not.
func (p *publisher) proven(m Model) bool {
	if !bytes.Equal(m.Preamble, p.preamble) || !bytes.Equal(m.SharedFrontend, p.shared) || len(m.Sections) != len(p.accepted) {
		return false
	}
	for i, s := range m.Sections {
		if p.says != nil && i < len(p.says.Sections) && s == p.says.Sections[i] {
			continue
		}
		a := p.accepted[s.Service]
		switch {
		case a == s:
		case a == nil:
			return false
		case bytes.Equal(a.Text, s.Text):
		case !p.loose || a.Carried || s.Carried || !sameStructure(a.Text, s.Text) || !provenServers(a.Servers, s.Servers):
			return false
		}
	}
	return true
}

func provenServers(accepted, now []Server) bool {
	type kind struct {
		options string
		cookie  bool
	}
	there := make(map[Server]struct{}, len(accepted))
	kinds := map[kind]struct{}{}
	for i := range accepted {
		there[accepted[i]] = struct{}{}
		kinds[kind{accepted[i].Options, accepted[i].Cookie != ""}] = struct{}{}
	}
	for i := range now {
		s := &now[i]
		if _, same := there[*s]; same {
			continue
		}
		addr, err := netip.ParseAddr(s.Host)
		if err != nil || addr.Zone() != "" || hasWord(s.Options, "id") || s.Name != legalName(s.Name) || s.Cookie != legalName(s.Cookie) {
			return false
		}
		if _, alike := kinds[kind{s.Options, s.Cookie != ""}]; !alike {
			return false
		}
	}
	return true
}

// refersToServers reports whether a line of text may name a server of another
// line: then taking that server away makes HAProxy refuse the file.
func refersToServers(text []byte) bool {
	for _, word := range []string{"use-server", "track", "srv_"} {
		if bytes.Contains(text, []byte(word)) {
			return true
		}
	}
	return false
}
