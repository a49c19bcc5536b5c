package haproxy

import (
	"cmp"
	"slices"
	"time"

	"smartstack/internal/service"
)

// learn brings the list of known servers up to date: backends are live, what
// was live is remembered from now on for ttl, what is older is forgotten. The
// order of servers that stay is kept, as the shuffle depends on it.
func (e *entry) learn(backends service.Set, l *layout, ttl time.Duration, now time.Time) {
	list := slices.Collect(backends.Pointers())
	names := serverNames(slices.Collect(backends.All()), l.taken.names)
	place := make(map[string]int, len(names))
	for i, name := range names {
		place[name] = i
	}
	e.expires = time.Time{}
	merged := make([]known, 0, max(len(list), len(e.servers)))
	had := make(map[string]int, len(e.servers))
	for _, k := range e.servers {
		i, live := place[k.server]
		if _, twice := had[k.server]; twice {
			continue
		}
		had[k.server] = k.id
		switch {
		case live && ttl > 0:
			k.backend, k.live = list[i], true
		case live: // its place is the one in backends
			continue
		default:
			if k.live {
				k.live, k.seen = false, now
			}
			gone := k.seen.Add(ttl)
			if !now.Before(gone) || l.taken.names[k.server] {
				e.freed.add(k.server, k.id)
				continue
			}
			if e.expires.IsZero() || gone.Before(e.expires) {
				e.expires = gone
			}
		}
		delete(place, k.server)
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
		merged = append(merged, known{server: name, backend: list[i], id: id, live: true})
	}
	e.servers = merged
}

// avoided returns the ids that HAProxy may still have for servers that are gone:
// those of servers that left last, and those of the previous file.
func (e *entry) avoided() map[int]bool {
	ids := e.freed.ids()
	if ids == nil && len(e.recall) > 0 {
		ids = make(map[int]bool, len(e.recall))
	}
	for _, id := range e.recall {
		ids[id] = true
	}
	return ids
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
		named := func(reason string) { warn("server " + k.server + ": " + reason) }
		servers[i] = l.server(k.server, k.backend, k.live, named)
		claims[i] = claim{server: &servers[i], live: k.live, recalled: k.id}
		if k.live {
			claims[i].asked = k.backend.ServerID
		}
		names[i], at[k.server] = k.server, i
	}
	assignIDs(claims, l.taken.ids, e.avoided(), c.options.MaxServerID, warn)
	for i := range e.servers {
		e.servers[i].id = servers[i].ID
	}
	arrange(names, l.order, c.seeded)
	ordered := make([]Server, len(names))
	for i, name := range names {
		ordered[i] = servers[at[name]]
	}
	return ordered
}
