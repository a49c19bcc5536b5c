package haproxy

import (
	"cmp"
	"time"

	"smartstack/internal/service"
)

// learn brings the list of known servers up to date: backends are live, what
// was live is remembered from now on for ttl, what is older is forgotten. The
// order of servers that stay is kept, as the shuffle depends on it.
func (e *entry) learn(backends service.Set, l *layout, ttl time.Duration, now time.Time) {
	list := make([]service.Backend, 0, backends.Len())
	for b := range backends.All() {
		list = append(list, b)
	}
	names := serverNames(list, l.taken.names)
	place := make(map[string]int, len(names))
	for i, name := range names {
		place[name] = i
	}
	e.expires = time.Time{}
	merged := make([]known, 0, max(len(list), len(e.servers)))
	had := make(map[string]int, len(e.servers))
	for _, k := range e.servers {
		i, live := place[k.Server]
		if _, twice := had[k.Server]; twice {
			continue
		}
		had[k.Server] = k.ID
		switch {
		case live && ttl > 0:
			k.Backend, k.live = list[i], true
		case live: // its place is the one in backends
			continue
		default:
			if k.live {
				k.live, k.Seen = false, now
			}
			gone := k.Seen.Add(ttl)
			if !now.Before(gone) || l.taken.names[k.Server] {
				e.freed.add(k.Server, k.ID)
				continue
			}
			if e.expires.IsZero() || gone.Before(e.expires) {
				e.expires = gone
			}
		}
		delete(place, k.Server)
		merged = append(merged, k)
	}
	for i, name := range names {
		if _, isNew := place[name]; !isNew {
			continue
		}
		id, seen := had[name]
		if !seen {
			id = cmp.Or(e.freed.take(name), e.recall[name])
		}
		merged = append(merged, known{Remembered: Remembered{Server: name, Backend: list[i], ID: id}, live: true})
	}
	e.servers = merged
}

// serversOf makes the server lines of the known servers, in the order of the
// file, and records the ids that they get.
func (c *Composer) serversOf(e *entry, l *layout, warn func(reason string)) []Server {
	servers := make([]Server, len(e.servers))
	claims := make([]claim, len(e.servers))
	names := make([]string, len(e.servers))
	at := make(map[string]int, len(e.servers))
	for i := range e.servers {
		k := &e.servers[i]
		named := func(reason string) { warn("server " + k.Server + ": " + reason) }
		servers[i] = l.server(k.Server, &k.Backend, k.live, named)
		claims[i] = claim{server: &servers[i], live: k.live, recalled: k.ID}
		if k.live {
			claims[i].asked = k.Backend.ServerID
		}
		names[i], at[k.Server] = k.Server, i
	}
	assignIDs(claims, l.taken.ids, e.freed.ids(), c.options.MaxServerID, warn)
	for i := range e.servers {
		e.servers[i].ID = servers[i].ID
	}
	arrange(names, l.order, c.seeded)
	ordered := make([]Server, len(names))
	for i, name := range names {
		ordered[i] = servers[at[name]]
	}
	return ordered
}
