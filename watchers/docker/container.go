package docker

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"smartstack/internal/service"
)

// container is what we read of one entry of /containers/json.
type container struct {
	ID         string `json:"Id"`
	Names      []string
	Image      string // as it was started, or an image's id where that name has moved on
	ImageID    string
	State      string // empty before API 1.23
	Ports      []binding
	Labels     map[string]string
	HostConfig struct{ NetworkMode string }
	Networks   struct{ Networks map[string]endpoint } `json:"NetworkSettings"`
}

// binding is one port of a container.
type binding struct {
	IP          string // on the host; empty = not published
	PrivatePort int
	PublicPort  int // 0 = not published
	Type        string
}

// endpoint is a container's place in one network.
type endpoint struct {
	IPAddress, GlobalIPv6Address string
}

// name returns the container's name as people say it.
func (c *container) name() string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") { // the others are links
			return n
		}
	}
	return c.ID[:min(12, len(c.ID))]
}

// rule tells which containers are backends, and where.
type rule struct {
	image    reference
	port     int
	protocol string
	labels   []label
	own      bool   // the container's own address
	network  string // "" = the only one
}

// label is one label that a container must have.
type label struct {
	key, value string
	exact      bool // with this value
}

// labelled reports whether a container has all labels.
func (r *rule) labelled(c *container) bool {
	for _, l := range r.labels {
		if value, there := c.Labels[l.key]; !there || l.exact && value != l.value {
			return false
		}
	}
	return true
}

// entry is one container of the service: a backend, or the reason why it is
// none.
type entry struct {
	name    string
	backend service.Backend
	reason  string
}

// judge makes an entry of a container that runs the image.
func (r *rule) judge(s Server, c *container) entry {
	e := entry{name: s.entry(c.name())}
	if c.State != "" && c.State != "running" {
		e.reason = fmt.Sprintf("is %.20q, not running", c.State)
		return e
	}
	e.backend.Name = cmp.Or(s.Name, c.name())
	switch {
	case c.HostConfig.NetworkMode == "host": // it has the host's ports for its own
		e.backend.Host, e.backend.Port = cmp.Or(s.Host, localHost), r.port
	case r.own:
		e.backend.Port = r.port
		e.backend.Host, e.reason = r.ownAddress(c)
	default:
		e.backend.Host, e.backend.Port, e.reason = r.published(s, c)
	}
	return e
}

// ownAddress returns the container's address in the network.
func (r *rule) ownAddress(c *container) (host, reason string) {
	all := c.Networks.Networks
	name := r.network
	if name == "" {
		if len(all) != 1 {
			return "", fmt.Sprintf("is in %d networks: name the one to use in network", len(all))
		}
		for only := range all {
			name = only
		}
	}
	at, there := all[name]
	if !there {
		return "", fmt.Sprintf("is not in the network %q", name)
	}
	if host = cmp.Or(at.IPAddress, at.GlobalIPv6Address); host == "" {
		return "", fmt.Sprintf("has no address in the network %.40q", name)
	}
	return host, ""
}

// published returns where the engine publishes the port. A container stands
// once, whatever the number of its bindings: they lead to the same place, and
// engines give IPv4 and IPv6 ports of their own.
func (r *rule) published(s Server, c *container) (host string, port int, reason string) {
	var found []binding
	local := false
	for _, b := range c.Ports {
		if b.PrivatePort != r.port || cmp.Or(b.Type, "tcp") != r.protocol || b.PublicPort == 0 {
			continue
		}
		if loopback(b.IP) && !s.local() {
			local = true
			continue
		}
		found = append(found, b)
	}
	if len(found) == 0 {
		what := fmt.Sprintf("does not publish its port %d/%s; use docker run -p, or address container", r.port, r.protocol)
		if local {
			what = fmt.Sprintf("publishes its port %d/%s on the engine's loopback only", r.port, r.protocol)
		}
		return "", 0, what
	}
	b := slices.MinFunc(found, func(a, b binding) int {
		return cmp.Or(cmp.Compare(bindingRank(a.IP), bindingRank(b.IP)), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.IP, b.IP))
	})
	if host = s.Host; host == "" {
		host = localHost
		if ip, err := netip.ParseAddr(b.IP); err == nil && !ip.IsUnspecified() {
			host = ip.String()
		}
	}
	return host, b.PublicPort, ""
}

// local reports whether the published ports are called on the loopback, so
// that what is published there alone can be reached.
func (s Server) local() bool {
	return s.Host == "" || s.Host == "localhost" || loopback(s.Host)
}

func loopback(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.IsLoopback()
}

// bindingRank prefers IPv4, and all addresses to a single one.
func bindingRank(ip string) int {
	a, err := netip.ParseAddr(ip)
	rank := 0
	if err == nil && !a.IsUnspecified() {
		rank++
	}
	if err == nil && !a.Unmap().Is4() {
		rank += 2
	}
	return rank
}

// parseList splits the engine's list, so that one bad entry is the loss of
// that entry alone.
func parseList(data []byte) (good []*container, bad []entry, err error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, nil, fmt.Errorf("want a list of containers, got %.80q: %w", data, err)
	}
	if raw == nil {
		return nil, nil, fmt.Errorf("want a list of containers, got %.80q", data)
	}
	for i, text := range raw {
		c := new(container)
		switch err := json.Unmarshal(text, c); {
		case err != nil:
			bad = append(bad, entry{name: fmt.Sprintf("entry-%d", i+1), reason: fmt.Sprintf("cannot be read: %v", err)})
		case c.ID == "":
			bad = append(bad, entry{name: fmt.Sprintf("entry-%d", i+1), reason: "has no id"})
		default:
			good = append(good, c)
		}
	}
	return good, bad, nil
}
