package dockerconn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Container is what we read of one entry of /containers/json.
type Container struct {
	ID         string `json:"Id"`
	Names      []string
	Image      string // as it was started, or an image's id where that name has moved on
	ImageID    string
	State      string // empty before API 1.23
	Ports      []Binding
	Labels     map[string]string
	HostConfig struct{ NetworkMode string }
	Networks   struct{ Networks map[string]Endpoint } `json:"NetworkSettings"`
}

// Binding is one port of a container.
type Binding struct {
	IP          string // on the host; empty = not published
	PrivatePort int
	PublicPort  int // 0 = not published
	Type        string
}

// Endpoint is a container's place in one network.
type Endpoint struct {
	IPAddress, GlobalIPv6Address string
}

// Name returns the container's name as people say it.
func (c *Container) Name() string {
	for _, n := range c.Names {
		if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") { // the others are links
			return n
		}
	}
	return c.ID[:min(12, len(c.ID))]
}

// Running tells whether the container runs and is not paused; else the reason
// why it is not to be called.
func (c *Container) Running() (reason string) {
	if c.State != "" && c.State != "running" {
		return fmt.Sprintf("is %.20q, not running", c.State)
	}
	return ""
}

// HostNetwork tells whether the container has the host's ports for its own.
func (c *Container) HostNetwork() bool { return c.HostConfig.NetworkMode == "host" }

// OwnAddress returns the container's address in the network, which need not be
// named when there is only one, or the reason why there is none.
func (c *Container) OwnAddress(network string) (host, reason string) {
	all := c.Networks.Networks
	name := network
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

// Bindings returns where the engine publishes the port, the best first: IPv4,
// and all addresses before a single one.
func (c *Container) Bindings(private int, protocol string) []Binding {
	var found []Binding
	for _, b := range c.Ports {
		if b.PrivatePort == private && cmp.Or(b.Type, "tcp") == protocol && b.PublicPort != 0 {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b Binding) int {
		return cmp.Or(cmp.Compare(bindingRank(a.IP), bindingRank(b.IP)), cmp.Compare(a.PublicPort, b.PublicPort), cmp.Compare(a.IP, b.IP))
	})
	return found
}

// Published returns where the engine publishes the port, or the reason why it
// cannot be called there. A container stands once, whatever the number of its
// bindings: they lead to the same place, and engines give IPv4 and IPv6 ports of
// their own.
func (c *Container) Published(s Server, private int, protocol string) (host string, port int, reason string) {
	var found []Binding
	local := false
	for _, b := range c.Bindings(private, protocol) {
		if loopback(b.IP) && !s.local() {
			local = true
			continue
		}
		found = append(found, b)
	}
	if len(found) == 0 {
		what := fmt.Sprintf("does not publish its port %d/%s; use docker run -p, or address container", private, protocol)
		if local {
			what = fmt.Sprintf("publishes its port %d/%s on the engine's loopback only", private, protocol)
		}
		return "", 0, what
	}
	b := found[0]
	if host = s.Host; host == "" {
		host = LocalHost
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

// Bad is an entry of an engine's list that cannot be read.
type Bad struct{ Name, Reason string }

// ParseList splits the engine's list, so that one bad entry is the loss of
// that entry alone.
func ParseList(data []byte) (good []*Container, bad []Bad, err error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, nil, fmt.Errorf("want a list of containers, got %.80q: %w", data, err)
	}
	if raw == nil {
		return nil, nil, fmt.Errorf("want a list of containers, got %.80q", data)
	}
	for i, text := range raw {
		c := new(Container)
		switch err := json.Unmarshal(text, c); {
		case err != nil:
			bad = append(bad, Bad{Name: fmt.Sprintf("entry-%d", i+1), Reason: fmt.Sprintf("cannot be read: %v", err)})
		case c.ID == "":
			bad = append(bad, Bad{Name: fmt.Sprintf("entry-%d", i+1), Reason: "has no id"})
		default:
			good = append(good, c)
		}
	}
	return good, bad, nil
}
