package haproxy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// claim is one server's wish for an id.
type claim struct {
	server   *Server
	live     bool
	asked    int // haproxy_server_id; 0 = none
	recalled int // what it had before; 0 = nothing
}

// maxFreed is how many ids of servers that are gone are remembered for each
// service.
const maxFreed = 256

// freedIDs holds the ids of the servers that left last, without the state
// file: a server that returns while HAProxy still drains it must get the id
// that it has there, and nobody else may have got it. The zero value is empty.
type freedIDs struct{ list []freedID }

type freedID struct {
	server string
	id     int
}

func (f *freedIDs) add(server string, id int) {
	if id <= 0 {
		return
	}
	f.take(server)
	f.list = append(f.list, freedID{server, id})
	if len(f.list) > maxFreed {
		f.list = slices.Delete(f.list, 0, 1)
	}
}

// take returns and forgets a server's id; 0 = none is known.
func (f *freedIDs) take(server string) int {
	i := slices.IndexFunc(f.list, func(x freedID) bool { return x.server == server })
	if i < 0 {
		return 0
	}
	id := f.list[i].id
	f.list = slices.Delete(f.list, i, i+1)
	return id
}

// ids returns the ids that are remembered; nil = none.
func (f *freedIDs) ids() map[int]bool {
	if len(f.list) == 0 {
		return nil
	}
	ids := make(map[int]bool, len(f.list))
	for _, x := range f.list {
		ids[x.id] = true
	}
	return ids
}

// RecallTold tells the Composer, after Recall, the ids that servers have in
// HAProxy, or are about to get there, although the file may not say so.
func (c *Composer) RecallTold(k *Known) {
	byBackend := make(map[string]*entry, len(c.entries))
	for _, e := range c.entries {
		byBackend[c.previousBackend(e)] = e
	}
	for r, line := range k.lines {
		e, ids := byBackend[r.Backend], idWords(line)
		if e == nil || len(ids) != 1 {
			continue
		}
		if id, err := strconv.Atoi(ids[0]); err == nil {
			if e.recall == nil {
				e.recall = map[string]int{}
			}
			e.recall[r.Server] = id
		}
	}
}

// Adopt gives a server the id with which it runs, which nothing can change while
// it does. It reports whether Compose is to be called again: not when another id
// was asked for, or that one for another server.
func (c *Composer) Adopt(service, server string, id int) bool {
	e := c.entries[service]
	if e == nil || e.section == nil || e.current().taken.ids[id] {
		return false
	}
	var own, holder *known
	for i := range e.servers {
		switch k := &e.servers[i]; {
		case k.server == server:
			own = k
		case k.id == id:
			holder = k
		}
	}
	if own == nil || own.id == id || e.asked(own) || holder != nil && e.asked(holder) {
		return false
	}
	own.id = id
	if holder != nil {
		holder.id = 0
	}
	e.service, c.services = nil, nil
	return true
}

// asked reports whether a server has its id because somebody asked for it.
func (e *entry) asked(k *known) bool {
	if k.live && k.backend.ServerID == k.id {
		return true
	}
	i := slices.IndexFunc(e.section.Servers, func(s Server) bool { return s.Name == k.server })
	return i >= 0 && hasWord(e.section.Servers[i].Options, "id")
}

// assignIDs gives each server an id of its own: the one in its options, the one
// asked for, the one it had, and live servers without any the lowest that is
// free up to limit, one in avoid only when there is no other. Of two that want the same, the first keeps it, live ones
// before remembered ones; the other is treated as if it had not asked.
func assignIDs(claims []claim, reserved, avoid map[int]bool, limit int, warn func(reason string)) {
	used := make(map[int]bool, len(claims)+len(reserved))
	for id := range reserved {
		used[id] = true
	}
	grant := func(c *claim, id int) bool {
		if id <= 0 || id > math.MaxInt32 || used[id] {
			return false
		}
		used[id] = true
		c.server.ID = id
		return true
	}
	pass := func(live bool, give func(*claim)) {
		for i := range claims {
			if c := &claims[i]; c.live == live && c.server.ID == 0 {
				give(c)
			}
		}
	}
	explicit := func(c *claim) {
		ids := idWords(c.server.Options)
		if len(ids) == 0 {
			return
		}
		if id, err := strconv.Atoi(ids[0]); err == nil && len(ids) == 1 && grant(c, id) {
			return
		}
		c.server.Options = cutID(c.server.Options)
		warn(fmt.Sprintf("server %s: id %.40q in its options is no free id, another is given", c.server.Name, ids))
	}
	asked := func(c *claim) {
		if c.asked != 0 && !grant(c, c.asked) {
			warn(fmt.Sprintf("server %s: haproxy_server_id %d is no free id, another is given", c.server.Name, c.asked))
		}
	}
	recalled := func(c *claim) { grant(c, c.recalled) }
	for _, give := range []func(*claim){explicit, asked, recalled} {
		pass(true, give)
		pass(false, give)
	}
	next := 1
	pass(true, func(c *claim) {
		for used[next] || avoid[next] {
			if next++; next > limit && avoid != nil {
				next, avoid = 1, nil
			}
		}
		if next > limit {
			warn(fmt.Sprintf("server %s: no id up to max_server_id %d is free, it gets none", c.server.Name, limit))
			return
		}
		grant(c, next)
	})
}

// idWords returns the words behind each "id" of options.
func idWords(options string) []string {
	if !hasWord(options, "id") {
		return nil
	}
	var ids []string
	words := strings.Fields(options)
	for i := 0; i < len(words); i++ {
		if words[i] != "id" {
			continue
		}
		if i++; i < len(words) {
			ids = append(ids, words[i])
		} else {
			ids = append(ids, "")
		}
	}
	return ids
}

// cutID removes every id and the word behind it, so that options ask for none.
func cutID(options string) string {
	words := strings.Fields(options)
	var kept []string
	for i := 0; i < len(words); i++ {
		if words[i] == "id" {
			i++
			continue
		}
		kept = append(kept, words[i])
	}
	return " " + strings.Join(kept, " ")
}

// takenBy collects the names and ids of hand-written server lines, which ours
// must leave alone.
func takenBy(lines []string) taken {
	t := taken{}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "server" {
			continue
		}
		if t.names == nil {
			t = taken{names: map[string]bool{}, ids: map[int]bool{}}
		}
		t.names[words[1]] = true
		for _, word := range idWords(line) {
			if id, err := strconv.Atoi(word); err == nil {
				t.ids[id] = true
			}
		}
	}
	return t
}
