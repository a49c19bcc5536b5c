package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"smartstack/haproxy"
	"smartstack/internal/control"
	"smartstack/internal/inside"
)

// difference is one server that is not the same everywhere.
type difference struct {
	Service string `json:"service"`
	Server  string `json:"server"`  // empty = all of the service
	Wanted  string `json:"wanted"`  // its address; empty = it should not be there
	Running string `json:"running"` // its address and status in HAProxy; empty = it is not there
	File    string `json:"file"`    // its address in the file; empty = it is not there
	Why     string `json:"why"`
}

// differences is the answer to GET /diff.
type differences struct {
	Version     int          `json:"version"`
	Asked       string       `json:"asked,omitempty"`  // the sockets
	Faults      []string     `json:"faults,omitempty"` // what could not be compared
	Cut         int          `json:"cut,omitempty"`    // differences that are left out of the list
	Differences []difference `json:"differences"`
}

const maxDifferences = 10_000

// diff compares what is wanted with what HAProxy runs and with the file.
func (s *scene) diff(ctx context.Context) (*differences, error) {
	if s.output == nil {
		return nil, control.Failure(404, "this synapse does not write HAProxy")
	}
	var asked []haproxy.Inspected
	if s.asks() {
		var err error
		if asked, err = s.looker.fresh(ctx, s.output); err != nil {
			return nil, err
		}
	}
	v := s.view() // afterwards: what is wanted now, HAProxy may have had a second ago
	v.asked = asked
	file, err := s.output.ReadFile()
	d := &differences{Version: inside.Version, Differences: []difference{}, Faults: v.uncompared(err)}
	var processes []*haproxy.Inspected
	var sockets []string
	for i := range v.asked {
		if v.asked[i].Err == "" {
			processes = append(processes, &v.asked[i])
			sockets = append(sockets, v.asked[i].Socket)
		}
	}
	d.Asked = strings.Join(sockets, ", ")
	if v.status.Wanted > 0 {
		d.Differences = append(d.Differences, v.compareAll(file, processes)...)
	}
	slices.SortFunc(d.Differences, func(a, b difference) int {
		return strings.Compare(a.Service+"\x00"+a.Server, b.Service+"\x00"+b.Server)
	})
	if d.Cut = max(len(d.Differences)-maxDifferences, 0); d.Cut > 0 {
		d.Differences = d.Differences[:maxDifferences]
	}
	return d, nil
}

// uncompared says what a comparison lacks: silence about it would look like
// agreement.
func (v *view) uncompared(inFile error) (faults []string) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if inFile != nil && v.output.ConfigFile() != "" {
		add("the file cannot be read: %v", inFile)
	}
	if v.status.Wanted == 0 {
		add("nothing is wanted yet: the sources have not all answered")
	}
	if len(v.asked) == 0 {
		add("HAProxy was not asked: there is no haproxy.socket_file_path")
	}
	for _, a := range v.asked {
		if a.Err != "" {
			add("HAProxy cannot be asked on %s: %s", a.Socket, a.Err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.placed)) {
		if p := v.placed[name]; p.Section != nil && p.Section.Carried {
			add("service %s is not compared: its source has not answered", name)
		}
	}
	return faults
}

// compareAll compares all services, and finds backends that are of none.
func (v *view) compareAll(file *haproxy.InFile, processes []*haproxy.Inspected) (list []difference) {
	ours := map[string]bool{}
	for name, p := range v.placed {
		if p.Held != nil {
			list = append(list, difference{Service: name, Server: p.Held.Server, Why: heldText(p.Held)})
		}
		if p.Section == nil {
			continue
		}
		ours[p.Section.BackendName] = true
		if !p.Section.Carried {
			list = append(list, (&comparison{service: name, backend: p.Section.BackendName, section: p.Section, file: file, processes: processes}).differences()...)
		}
	}
	others := map[string]bool{}
	if file != nil {
		for backend := range file.Servers {
			others[backend] = true
		}
	}
	for _, p := range processes {
		for backend := range p.Servers {
			others[backend] = true
		}
	}
	for backend := range others {
		if !ours[backend] && !v.output.Extra(backend) {
			list = append(list, (&comparison{service: backend, backend: backend, file: file, processes: processes}).differences()...)
		}
	}
	return list
}
