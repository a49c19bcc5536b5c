package haproxy

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"smartstack/haproxy/socket"
)

// leaver is a server that is out of rotation and is to be deleted as soon as
// nobody uses it any more.
type leaver struct {
	since time.Time
	keep  bool      // ends in maintenance: the file keeps it
	stuck time.Time // HAProxy refused to delete it, as if other configuration named it; zero = it did not
}

// isStuck reports whether there is no use in trying to delete it now. What
// names it may be gone after a while, and a refusal may have had another cause.
func (l *leaver) isStuck(now time.Time) bool {
	return !l.stuck.IsZero() && now.Sub(l.stuck) < forgiveAfter
}

// leave takes note that a server is on its way out.
func (k *Known) leave(r ServerRef, keep bool, now time.Time) {
	if k.leaving == nil {
		k.leaving = map[ServerRef]*leaver{}
	}
	k.put(r, outside)
	if k.leaving[r] == nil {
		k.leaving[r] = &leaver{since: now, keep: keep}
	}
}

// drainRules say how long a server may take to leave.
type drainRules struct {
	limit    time.Duration // then it goes into maintenance; 0 = as long as it has sessions
	shutdown bool          // and its sessions are cut
}

// departures returns the commands that let servers without sessions go.
// sessions has the servers that exist. It is pure but for gone, which is
// called for servers that exist no more.
func departures(k *Known, sessions map[ServerRef]int, rules drainRules, now time.Time, gone func(ServerRef)) []string {
	var cmds []string
	for _, r := range slices.SortedFunc(maps.Keys(k.leaving), compareRefs) {
		l := k.leaving[r]
		n, exists := sessions[r]
		late := rules.limit > 0 && now.Sub(l.since) >= rules.limit
		switch {
		case !exists:
			gone(r)
			continue
		case l.isStuck(now) || n > 0 && !late:
			continue
		}
		cmds = append(cmds, "set server "+r.String()+" state maint")
		if n > 0 && rules.shutdown {
			cmds = append(cmds, "shutdown sessions server "+r.String())
		}
		if !l.keep {
			cmds = append(cmds, "del server "+r.String())
		}
	}
	return cmds
}

func compareRefs(a, b ServerRef) int {
	if c := strings.Compare(a.Backend, b.Backend); c != 0 {
		return c
	}
	return strings.Compare(a.Server, b.Server)
}

// tend lets servers go that have become idle.
func tend(ctx context.Context, c *socket.Client, info socket.Info, k *Known, rules drainRules, now time.Time) error {
	sessions, err := sessionsOf(ctx, c, info, k, now)
	if err != nil {
		return err
	}
	cmds := departures(k, sessions, rules, now, k.forget)
	if len(cmds) == 0 {
		return nil
	}
	replies, err := send(ctx, c, info, cmds)
	for i, reply := range replies {
		k.departed(cmds[i], reply, now)
	}
	k.journal.flush(k)
	return err
}

// departed reads the reply to one of the commands that departures made.
func (k *Known) departed(cmd, reply string, now time.Time) {
	rest, isDelete := strings.CutPrefix(cmd, "del server ")
	target, isState := strings.CutPrefix(cmd, "set server ")
	switch {
	case isState:
		target, _, _ = strings.Cut(target, " ")
		if l := k.leaving[refOf(target)]; l != nil && l.keep && accepted(cmd, reply) {
			delete(k.leaving, refOf(target))
		}
	case isDelete && (accepted(cmd, reply) || strings.HasPrefix(reply, "No such")):
		r := refOf(rest)
		k.forget(r)
		for cmd := range k.refused { // the id or the name may be free now
			if strings.Contains(cmd, " "+r.Backend+"/") {
				delete(k.refused, cmd)
			}
		}
	case isDelete && !strings.Contains(reply, "connection") && !strings.Contains(reply, "session"):
		if l := k.leaving[refOf(rest)]; l != nil {
			l.stuck = now
		}
	}
}

func refOf(text string) ServerRef {
	backend, server, _ := strings.Cut(text, "/")
	return ServerRef{Backend: backend, Server: server}
}

// sessionsOf asks how many sessions the leaving servers have.
func sessionsOf(ctx context.Context, c *socket.Client, info socket.Info, k *Known, now time.Time) (map[ServerRef]int, error) {
	backends := map[string]bool{}
	for r, l := range k.leaving {
		if !l.isStuck(now) {
			backends[r.Backend] = true
		}
	}
	sessions := map[ServerRef]int{}
	for r, l := range k.leaving {
		if l.isStuck(now) { // it is not asked about, and stays
			sessions[r] = 0
		}
	}
	// By number: by name, HAProxy finds the frontend where there is one of the
	// same name.
	var cmds, asked []string
	for _, b := range slices.Sorted(maps.Keys(backends)) {
		if number := k.numbers[b]; number > 0 {
			cmds, asked = append(cmds, "show stat "+strconv.Itoa(number)+" 4 -1"), append(asked, b)
		}
	}
	replies, err := send(ctx, c, info, cmds)
	if err != nil {
		return nil, err
	}
	for i, reply := range replies {
		stats, err := socket.ParseStat(reply)
		switch {
		case err != nil && strings.HasPrefix(reply, "No such proxy"):
			continue // and its servers are gone with it
		case err != nil: // they are there for all that we know
			for r := range k.leaving {
				if r.Backend == asked[i] {
					sessions[r] = 1
				}
			}
		}
		for _, s := range stats {
			sessions[ServerRef{Backend: s.Backend, Server: s.Name}] = s.Sessions + s.Queued
		}
	}
	return sessions, nil
}
