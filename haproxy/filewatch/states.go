package filewatch

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"smartstack/haproxy/serverstate"
	"smartstack/haproxy/socket"
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
	if s.ask == nil || !w.load || w.hidden || w.file != "" {
		return text
	}
	return append(append([]byte{}, text...), "\nglobal\n\tserver-state-file "+s.own+"\n"...)
}

// over reloads, with the states of before in the file where the new process
// with text reads them.
func (s *states) over(ctx context.Context, text []byte, reload func(context.Context) error) error {
	w := wishesIn(text)
	path := w.path()
	if s.ask == nil || path == "" {
		return reload(ctx)
	}
	s.note(s.leave(ctx, path, w))
	err := reload(ctx)
	s.note(serverstate.Write(path, serverstate.None))
	return err
}

// leave writes the states into the file.
func (s *states) leave(ctx context.Context, path string, w wishes) error {
	text, err := s.ask(ctx)
	if err == nil && text == "" { // nothing runs
		return serverstate.Offer(path)
	}
	if err == nil {
		_, err = socket.ParseServersState(text)
	}
	if err != nil {
		_ = serverstate.Write(path, serverstate.None) // the first fault is the one to tell
		return err
	}
	return serverstate.Write(path, serverstate.Keep(text, w.knows))
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
	servers    map[string]string
}

func key(backend, server string) string { return backend + "\x00" + server }

// wishesIn reads a configuration that HAProxy accepts.
func wishesIn(text []byte) wishes {
	w := wishes{servers: map[string]string{}}
	proxy := ""
	for line := range strings.Lines(string(text)) {
		plain := !strings.ContainsAny(line, "\"'\\$")
		if plain {
			line, _, _ = strings.Cut(line, "#")
		}
		f := strings.Fields(line)
		if len(f) > 0 && strings.HasPrefix(f[0], ".if") {
			return wishes{hidden: true}
		}
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "backend", "listen":
			proxy = f[1]
		case "server-state-file":
			w.file, w.hidden = f[1], w.hidden || !plain
		case "server-state-base":
			w.base, w.hidden = f[1], w.hidden || !plain
		case "load-server-state-from-file":
			w.load = w.load || f[1] == "global"
		case "server":
			if plain && len(f) > 2 {
				w.servers[key(proxy, f[1])] = f[2]
			}
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

// knows reports whether s has the address still that it has in the file: HAProxy
// would give the port of before to whoever has its name now.
func (w wishes) knows(s serverstate.Server) bool {
	addr := w.servers[key(s.Backend, s.Name)]
	colon := strings.LastIndexByte(addr, ':')
	if colon < 0 || addr[colon+1:] != s.Port {
		return false
	}
	ip, err := netip.ParseAddr(strings.Trim(addr[:colon], "[]"))
	return err != nil || ip.String() == s.Addr // a name is HAProxy's to resolve
}
