package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"smartstack/haproxy/socket"
)

// ask reads the servers of the sections' backends, of all of them when full.
func ask(ctx context.Context, c *socket.Client, sections []*Section, full bool) (Running, error) {
	run := Running{Backends: make(map[string][]socket.ServerState, len(sections))}
	cmds := []string{"show info"}
	if full {
		cmds = append(cmds, "show servers state")
	} else {
		cmds = append(cmds, askFor(sections, nil)...)
	}
	replies, err := send(ctx, c, socket.Info{}, cmds)
	if err != nil {
		return run, err
	}
	if run.Info, err = socket.ParseInfo(replies[0]); err != nil {
		return run, fmt.Errorf("%s: %w", c.Path(), err)
	}
	if !full {
		return run, run.take(sections, nil, replies[1:], c.Path())
	}
	states, err := socket.ParseServersState(replies[1])
	if err != nil {
		return run, fmt.Errorf("%s: %w", c.Path(), err)
	}
	for first := 0; first < len(states); { // they come backend by backend
		end := first + 1
		for end < len(states) && states[end].Backend == states[first].Backend {
			end++
		}
		run.Backends[states[first].Backend] = states[first:end:end]
		first = end
	}
	there := maps.Clone(run.Backends) // the rest is empty, or missing
	replies, err = send(ctx, c, run.Info, askFor(sections, there))
	if err != nil {
		return run, err
	}
	return run, run.take(sections, there, replies, c.Path())
}

// askFor returns the commands for the backends that are not in skip.
func askFor(sections []*Section, skip map[string][]socket.ServerState) []string {
	var cmds []string
	for _, s := range sections {
		if _, have := skip[s.BackendName]; !have && !s.Carried {
			cmds = append(cmds, "show servers state "+s.BackendName)
		}
	}
	return cmds
}

// take reads the replies to askFor.
func (run *Running) take(sections []*Section, skip map[string][]socket.ServerState, replies []string, path string) error {
	for _, s := range sections {
		if _, have := skip[s.BackendName]; have || s.Carried {
			continue
		}
		states, err := socket.ParseServersState(replies[0])
		replies = replies[1:]
		switch {
		case errors.Is(err, socket.ErrNoBackend):
		case err != nil:
			return fmt.Errorf("%s: backend %s: %w", path, s.BackendName, err)
		default:
			run.Backends[s.BackendName] = states
		}
	}
	return nil
}

// read asks the process what it runs. fresh is true for a process that was not
// met before, of which nothing is known.
func (p *process) read(ctx context.Context, sections []*Section, full bool) (run Running, fresh bool, err error) {
	for attempt := 0; ; attempt++ {
		run, err = ask(ctx, p.client, sections, full)
		if err != nil {
			return run, false, err
		}
		if !run.Info.Stopping {
			break
		}
		// A newer process listens on the path; the old one answers on the
		// connection that we have, and cannot end before we leave it.
		_ = p.client.Close()
		if attempt > 0 {
			return run, false, fmt.Errorf("%s: HAProxy (pid %d) is stopping, and no other process listens yet", p.client.Path(), run.Info.PID)
		}
	}
	if fresh = !sameProcess(p.info, run.Info); fresh {
		p.known, p.services, p.open, p.last = Known{}, map[string]*verdict{}, nil, nil // until it is met
	}
	p.info = run.Info
	return run, fresh, nil
}

func sameProcess(a, b socket.Info) bool {
	if a.PID != b.PID || a.Version != b.Version || !a.Start.Equal(b.Start) {
		return false
	}
	return !a.Start.IsZero() || b.Uptime >= a.Uptime
}
