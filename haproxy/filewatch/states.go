package filewatch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime/debug"
	"strings"

	"smartstack/haproxy/serverstate"
	"smartstack/haproxy/syntax"
)

// states lets a HAProxy that is reloaded leave the states of its servers to the
// next one, where the file asks for that.
type states struct {
	ask  func(ctx context.Context) (string, error)
	own  string // the file, where the configuration names none
	log  *slog.Logger
	said string // the fault that was logged last
}

// offered returns text such that HAProxy finds the states that it asks for.
func (s *states) offered(text []byte) []byte {
	w := wishesIn(text)
	if s.ask == nil || !w.load || w.hidden || w.file != "" || !syntax.IsWord(s.own) {
		return text
	}
	return append(append([]byte{}, text...), "\nglobal\n\tserver-state-file "+s.own+"\n"...)
}

// over reloads, with the states of before in the file where the new process
// with text reads them.
func (s *states) over(ctx context.Context, text []byte, reload func(context.Context) error) error {
	path := wishesIn(text).path()
	if s.ask == nil || path == "" {
		return reload(ctx)
	}
	fault := s.leave(ctx, path, text)
	if fault == nil {
		s.said = "" // what comes next is news
	}
	s.note(fault)
	err := reload(ctx)
	s.note(serverstate.Clear(path))
	debug.FreeOSMemory() // thousands of servers have megabytes of states
	return err
}

// leave writes the states into the file.
func (s *states) leave(ctx context.Context, path string, text []byte) error {
	now, err := s.ask(ctx)
	switch {
	case err == nil && now == "": // nothing runs
		return serverstate.Offer(path)
	case err == nil && !serverstate.Known(now):
		err = fmt.Errorf("HAProxy's answer is not understood: %.80q", now)
	}
	if err != nil {
		_ = serverstate.Clear(path) // the first fault is the one to tell
		return err
	}
	there := serversIn(text)
	return serverstate.Write(path, serverstate.Keep(now, there.has))
}

func (s *states) note(err error) {
	if err != nil && err.Error() != s.said {
		s.said = err.Error()
		s.log.Warn("the state of the servers is not carried over the reload: HAProxy takes them for up until it has checked them", "err", err)
	}
}

// wishes is what a configuration says of the servers' states.
type wishes struct {
	load       bool // a proxy asks for them
	file, base string
	hidden     bool // by conditions, variables or quotes
}

// wishesIn reads a configuration that HAProxy accepts.
func wishesIn(text []byte) wishes {
	var w wishes
	for line := range bytes.Lines(text) {
		line = bytes.TrimLeft(line, " \t")
		if bytes.HasPrefix(line, []byte(".if")) {
			return wishes{hidden: true}
		}
		if !bytes.HasPrefix(line, []byte("server-state-")) && !bytes.HasPrefix(line, []byte("load-server-state-")) {
			continue // there are thousands of them
		}
		f, plain := syntax.Words(line)
		if len(f) < 2 {
			continue
		}
		switch value := string(f[1]); string(f[0]) {
		case "server-state-file":
			w.file, w.hidden = value, w.hidden || !plain
		case "server-state-base":
			w.base, w.hidden = value, w.hidden || !plain
		case "load-server-state-from-file":
			w.load = w.load || value == "global"
		}
	}
	return w
}

// path is where the states are read; empty = nowhere, or nobody knows.
func (w wishes) path() string {
	switch {
	case !w.load || w.hidden || w.file == "":
		return ""
	case filepath.IsAbs(w.file):
		return w.file
	case filepath.IsAbs(w.base):
		return filepath.Join(w.base, w.file)
	}
	return "" // of the directory that HAProxy was started in
}

// addresses are those of a configuration's servers.
type addresses map[[2]string]string // by backend and name

func serversIn(text []byte) addresses {
	list, proxy := addresses{}, ""
	for line := range bytes.Lines(text) {
		f, plain := syntax.Words(line)
		switch {
		case len(f) < 2:
		case string(f[0]) == "backend", string(f[0]) == "listen":
			proxy = string(f[1])
		case string(f[0]) == "server" && len(f) > 2 && plain:
			list[[2]string{proxy, string(f[1])}] = string(f[2])
		}
	}
	return list
}

// has reports whether s has the address still that it has in the file: HAProxy
// would give the port of before to whoever has its name now.
func (a addresses) has(s serverstate.Server) bool {
	addr := a[[2]string{s.Backend, s.Name}]
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 || addr[colon+1:] != s.Port {
		return false
	}
	ip, err := netip.ParseAddr(strings.Trim(addr[:colon], "[]"))
	return err != nil || ip.String() == s.Addr // a name is HAProxy's to resolve
}
