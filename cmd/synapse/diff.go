package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"smartstack/haproxy"
	"smartstack/haproxy/socket"
	"smartstack/internal/control"
	"smartstack/internal/inside"
)

// difference is one server that is not the same everywhere.
type difference struct {
	Service string `json:"service"`
	Server  string `json:"server"`
	Wanted  string `json:"wanted"`  // its address; empty = it should not be there
	Running string `json:"running"` // its address and status in HAProxy; empty = it is not there
	File    string `json:"file"`    // its address in the file; empty = it is not there
	Why     string `json:"why"`
}

// differences is the answer to GET /diff.
type differences struct {
	Version     int          `json:"version"`
	Asked       string       `json:"asked,omitempty"` // the socket
	Faults      []string     `json:"faults,omitempty"`
	Cut         int          `json:"cut,omitempty"` // differences that are left out of the list
	Differences []difference `json:"differences"`
}

const maxDifferences = 10_000

// diff compares what is wanted with what HAProxy runs and with the file.
func (s *scene) diff(ctx context.Context) (*differences, error) {
	if s.output == nil {
		return nil, control.Failure(404, "this synapse does not write HAProxy")
	}
	v := s.view()
	d := &differences{Version: inside.Version, Differences: []difference{}}
	file, err := s.output.FileServers()
	if err != nil {
		d.Faults = append(d.Faults, "the file cannot be read: "+err.Error())
	}
	if s.asks() {
		if v.asked, err = s.looker.fresh(ctx, s.output); err != nil {
			return nil, err
		}
	}
	for _, a := range v.asked {
		if a.Err != "" {
			d.Faults = append(d.Faults, "HAProxy cannot be asked on "+a.Socket+": "+a.Err)
		}
	}
	process := v.process()
	if process != nil {
		d.Asked = process.Socket
	}
	for name, p := range v.placed {
		if p.Section == nil || p.Section.Carried {
			continue
		}
		c := comparison{service: name, wanted: p.Section.Servers, file: file[p.Section.BackendName], noFile: file == nil, process: process}
		if process != nil {
			c.running = process.Servers[p.Section.BackendName]
		}
		d.Differences = append(d.Differences, c.differences()...)
	}
	slices.SortFunc(d.Differences, func(a, b difference) int {
		return strings.Compare(a.Service+"\x00"+a.Server, b.Service+"\x00"+b.Server)
	})
	if d.Cut = len(d.Differences) - maxDifferences; d.Cut > 0 {
		d.Differences = d.Differences[:maxDifferences]
	}
	d.Cut = max(d.Cut, 0)
	return d, nil
}

// comparison is one service in three places.
type comparison struct {
	service string
	wanted  []haproxy.Server
	running []socket.Detail
	file    map[string]string
	noFile  bool               // it cannot be read
	process *haproxy.Inspected // nil = HAProxy cannot be asked
}

func (c *comparison) differences() []difference {
	all := map[string]*difference{}
	at := func(name string) *difference {
		if all[name] == nil {
			all[name] = &difference{Service: c.service, Server: name}
		}
		return all[name]
	}
	for i := range c.wanted {
		at(c.wanted[i].Name).Wanted = c.wanted[i].Address()
	}
	running := map[string]*socket.Detail{}
	for i := range c.running {
		r := &c.running[i]
		running[r.Name] = r
		at(r.Name).Running = strings.TrimSpace(r.Addr + " " + r.Status)
	}
	for name, address := range c.file {
		at(name).File = address
	}
	var list []difference
	for _, d := range all {
		if d.Why = c.why(d, running[d.Server]); d.Why != "" {
			list = append(list, *d)
		}
	}
	return list
}

// why says what is different; empty means nothing.
func (c *comparison) why(d *difference, r *socket.Detail) string {
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case c.process == nil:
	case d.Wanted != "" && r == nil:
		add("HAProxy does not run it")
	case d.Wanted == "" && r != nil && d.File == "":
		add("HAProxy runs it (%s, %d sessions), and nobody wants it", r.Status, r.Sessions)
	case r != nil && d.Wanted != "" && r.Addr != "" && isAddress(d.Wanted) && !sameAddress(r.Addr, d.Wanted):
		add("HAProxy runs it at another address")
	case r != nil && d.Wanted != "" && (strings.HasPrefix(r.Status, "MAINT") || strings.HasPrefix(r.Status, "DRAIN")):
		add("HAProxy has taken it out: %s", r.Status)
	}
	switch {
	case c.noFile || (d.Wanted == "") == (d.File == "") && d.Wanted == d.File:
	case d.Wanted == "" && d.File != "":
		add("the file still has it")
	case d.File == "":
		if d.Wanted != "" {
			add("the file does not have it yet")
		}
	default:
		add("the file has it at another address")
	}
	return strings.Join(list, "; ")
}

func isAddress(s string) bool {
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

func sameAddress(a, b string) bool {
	x, errX := netip.ParseAddrPort(a)
	y, errY := netip.ParseAddrPort(b)
	return errX != nil || errY != nil || x.Port() == y.Port() && x.Addr().Unmap() == y.Addr().Unmap()
}
