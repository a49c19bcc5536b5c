package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"smartstack/haproxy/socket"
	"smartstack/internal/service"
)

// Placed is what should run of one service.
type Placed struct {
	Section *Section
	Left    []Server // what it should have, and HAProxy refuses
	Held    *Held    // why; nil = nothing is refused
}

// Placed tells of every service what should run, by the service's name.
func (s *Status) Placed() map[string]Placed {
	all := make(map[string]Placed, len(s.in))
	for i, in := range s.in {
		p := Placed{Section: in}
		if i < len(s.whole) && s.whole[i] != in && s.whole[i].Service == in.Service {
			p.Left = without(s.whole[i].Servers, in.Servers)
		}
		all[in.Service] = p
	}
	for i := range s.Held {
		p := all[s.Held[i].Service]
		p.Held = &s.Held[i]
		all[s.Held[i].Service] = p
	}
	return all
}

func without(list, others []Server) (left []Server) {
	there := make(map[string]bool, len(others))
	for i := range others {
		there[others[i].Name] = true
	}
	for _, v := range list {
		if !there[v.Name] {
			left = append(left, v)
		}
	}
	return left
}

// Inspected is what one HAProxy process says for itself.
type Inspected struct {
	Socket  string
	Version string
	PID     int
	Err     string // it cannot be asked; the rest is then empty
	// Servers and Sums hold what it runs, by the backend's name.
	Servers map[string][]socket.Detail
	Sums    map[string]*socket.Detail
}

// Inspect asks every HAProxy process of the configuration what it runs: about
// the backends given, or about all when there is none. It uses connections of
// its own, each bounded in time, and may be called from any goroutine.
func (out *Output) Inspect(ctx context.Context, backends ...string) []Inspected {
	var list []Inspected
	for _, path := range out.options.SocketFilePath {
		list = append(list, inspect(ctx, path, backends, "6"))
	}
	return list
}

// InspectSums is Inspect without the servers: of each backend it tells how many
// are up, for a tenth of the cost.
func (out *Output) InspectSums(ctx context.Context) []Inspected {
	var list []Inspected
	for _, path := range out.options.SocketFilePath {
		list = append(list, inspect(ctx, path, nil, "2"))
	}
	return list
}

func inspect(ctx context.Context, path string, backends []string, kinds string) Inspected {
	one := Inspected{Socket: path, Servers: map[string][]socket.Detail{}, Sums: map[string]*socket.Detail{}}
	c := socket.New(path)
	defer c.Close()
	if err := one.ask(ctx, c, backends, kinds); err != nil {
		one.Err = err.Error()
	}
	return one
}

// ask asks for all backends at once, or for some by number: by name, show stat
// finds the frontend of the same name. kinds is 2 for backends, 4 for servers,
// or their sum.
func (one *Inspected) ask(ctx context.Context, c *socket.Client, backends []string, kinds string) error {
	first := []string{"show info"}
	for _, b := range backends {
		first = append(first, "show servers state "+b)
	}
	replies, err := send(ctx, c, socket.Info{}, first)
	if err != nil {
		return err
	}
	info, err := socket.ParseInfo(replies[0])
	if err != nil {
		return err
	}
	one.Version, one.PID = info.Version, info.PID
	if len(backends) == 0 {
		return one.read(ctx, c, "-1", kinds)
	}
	for _, r := range replies[1:] {
		if id := backendID(r); id != "" {
			if err := one.read(ctx, c, id, kinds); err != nil {
				return err
			}
		}
	}
	return nil
}

// backendID reads a backend's number from the reply to show servers state;
// empty when HAProxy does not have the backend, or it has no servers.
func backendID(reply string) string {
	for line := range strings.Lines(reply) {
		if id, _, ok := strings.Cut(line, " "); ok && id != "#" && strings.Trim(id, "0123456789") == "" {
			return id
		}
	}
	return ""
}

// read takes in show stat of a backend, or of all (-1), line by line: of a large
// HAProxy it has megabytes.
func (one *Inspected) read(ctx context.Context, c *socket.Client, id, kinds string) error {
	ctx, cancel := context.WithTimeout(ctx, longestAnswer)
	defer cancel()
	var details socket.Details
	var servers []socket.Detail // of the backend that is being told of
	lines, gone := 0, false     // gone since its number was asked for
	err := c.Lines(ctx, "show stat "+id+" "+kinds+" -1", func(line []byte) error {
		lines++
		gone = gone || lines == 1 && bytes.Contains(line, []byte("No such proxy"))
		if gone || len(line) == 0 {
			return nil
		}
		d, ok, err := details.Line(line)
		if err != nil || !ok {
			return err
		}
		if len(servers) > 0 && servers[0].Backend != d.Backend {
			servers = one.keep(servers)
		}
		if d.IsBackend() {
			sum := d // only what is kept costs memory
			one.Sums[d.Backend] = &sum
		} else {
			servers = append(servers, d)
		}
		return nil
	})
	one.keep(servers)
	return err
}

// keep adds the servers of a backend, without what append has in reserve, and
// returns the list for the next ones.
func (one *Inspected) keep(servers []socket.Detail) []socket.Detail {
	if len(servers) > 0 {
		name := servers[0].Backend
		one.Servers[name] = slices.Concat(one.Servers[name], servers)
	}
	return servers[:0]
}

// ConfigFile returns where the file is; empty when none is written.
func (out *Output) ConfigFile() string {
	if !out.options.DoWrites {
		return ""
	}
	return out.options.ConfigFilePath
}

// Asks tells whether there is a socket on which HAProxy can be asked.
func (out *Output) Asks() bool { return len(out.options.SocketFilePath) > 0 }

// Finder returns what finds the server that stands for a backend among
// servers; nil when there is none.
func Finder(servers []Server) func(b *service.Backend) *Server {
	type place struct {
		host string
		port int
	}
	at := make(map[place][]*Server, len(servers))
	for i := range servers {
		v := &servers[i]
		p := place{v.Host, v.Port}
		at[p] = append(at[p], v)
	}
	return func(b *service.Backend) *Server {
		list := at[place{b.Host, b.Port}]
		for _, v := range list {
			if strings.HasPrefix(v.Name, legalName(serverName(b))) {
				return v
			}
		}
		if len(list) > 0 {
			return list[0]
		}
		return nil
	}
}

// Preview returns the file that the options would give for a snapshot, and
// what would be left out of it. Names and ids follow the file and the state
// that are in place, which are read and not touched.
func Preview(o Options, services []ServiceConfig, host string, s service.Snapshot, now time.Time) ([]byte, []Warning, error) {
	o.complete()
	before, err := os.ReadFile(o.ConfigFilePath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("the file that is in place: %w", err)
	}
	var state State
	if o.StateFilePath != "" {
		if data, err := os.ReadFile(o.StateFilePath); err == nil {
			state, _ = DecodeState(data, now, o.StateFileTTL.Duration())
		}
	}
	c := NewComposer(o, services, host)
	c.Recall(before, state)
	m := c.Compose(s, now)
	warnings := m.Warnings
	for _, section := range m.Sections {
		warnings = append(warnings, section.Warnings...)
	}
	return m.Render(), warnings, nil
}
