package containers

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"smartstack/internal/dockerconn"
)

// Offer is one service of one container.
type Offer struct {
	Service   string
	Container string // its name
	Host      string // empty = this host
	Port      int
	Many      bool // the container offers other ports as well
	private   int
	keys      map[string]string // what the container says besides
	trial     bool              // no container's
}

// Trials are offers that no container has made, one for the defaults and one
// for each service with options of its own: what Compose makes of them shows
// whether the configuration can be used.
func (o *Options) Trials() []Offer {
	trial := Offer{Service: "service", Container: "container", Port: 80, trial: true}
	var all []Offer
	if !o.ListedOnly {
		all = append(all, trial)
	}
	for _, s := range o.Services {
		trial.Service = s.Key
		all = append(all, trial)
	}
	return all
}

// Key names the offer among the services of this host.
func (o Offer) Key() string {
	key := o.Service + "@" + o.Container
	if o.Many {
		key += ":" + strconv.Itoa(o.private)
	}
	return key
}

// Rejection is a container that cannot be registered as it asks, and why.
type Rejection struct{ Container, Reason string }

// offers reads one container. A container that names no service is none of our
// business.
func (o *Options) offers(c *dockerconn.Container, env []string) (found []Offer, rejected []Rejection) {
	m := readMeta(o.Prefix, c.Labels, env, o.Registrator)
	if !m.names() || truth(m.all["ignore"]) {
		return nil, nil
	}
	reject := func(format string, args ...any) {
		rejected = append(rejected, Rejection{c.Name(), fmt.Sprintf(format, args...)})
	}
	if reason := c.Running(); reason != "" {
		return nil, nil // a paused one serves nobody, and that is what was asked for
	}
	if len(m.unable) > 0 {
		reject("asks for a check that nerve does not run for containers (%s): use an http, tcp or grpc check", strings.Join(m.unable, ", "))
		return nil, rejected
	}
	ports := o.ports(c, m)
	if len(ports) == 0 {
		reject("offers no TCP port: publish one (docker run -p), or name one in %s.port", o.Prefix)
	}
	for _, port := range ports {
		keys := m.of(port)
		if keys["service"] == "" || truth(keys["ignore"]) {
			continue
		}
		offer, err := o.offer(c, m, port, ports, keys)
		if err != nil {
			reject("%v", err)
			continue
		}
		found = append(found, offer)
	}
	return found, rejected
}

// ports returns the ports, inside the container, that the container offers: the
// named ones, else all that are published.
func (o *Options) ports(c *dockerconn.Container, m meta) []int {
	var ports []int
	for port, keys := range m.byPort {
		if keys["service"] != "" {
			ports = append(ports, port)
		}
	}
	if m.all["service"] == "" {
		slices.Sort(ports)
		return ports
	}
	if port, err := strconv.Atoi(m.all["port"]); err == nil {
		ports = append(ports, port)
	} else {
		for _, b := range c.Ports {
			if cmp.Or(b.Type, "tcp") == "tcp" && (b.PublicPort != 0 || o.Address == "container") {
				ports = append(ports, b.PrivatePort)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

func (o *Options) offer(c *dockerconn.Container, m meta, port int, ports []int, keys map[string]string) (Offer, error) {
	offer := Offer{Service: keys["service"], Container: c.Name(), Many: len(ports) > 1, private: port, keys: keys}
	if offer.Many && m.byPort[port]["service"] == "" {
		if !m.theirs {
			return offer, fmt.Errorf("offers the ports %v: name one in %s.port, or each in %s.%d.service", ports, o.Prefix, o.Prefix, port)
		}
		offer.Service += "-" + strconv.Itoa(port) // as registrator
	}
	if !plain(offer.Service) {
		return offer, fmt.Errorf("wants to be the service %.60q: want letters, digits, dot, minus and underscore", offer.Service)
	}
	if !plain(offer.Container) {
		return offer, fmt.Errorf("has the name %.60q, which cannot be registered", offer.Container)
	}
	var reason string
	switch {
	case o.Address == "container":
		offer.Port = port
		offer.Host, reason = c.OwnAddress(o.Network)
	case c.HostNetwork():
		offer.Port = port
	default:
		offer.Host, offer.Port, reason = published(c, port)
	}
	if reason != "" {
		return offer, fmt.Errorf("%s", reason)
	}
	return offer, nil
}

// published returns where others can call the port; host is empty for any
// address of this host.
func published(c *dockerconn.Container, private int) (host string, port int, reason string) {
	all := c.Bindings(private, "tcp")
	for _, b := range all {
		ip, err := netip.ParseAddr(b.IP)
		switch {
		case err != nil || ip.IsUnspecified():
			return "", b.PublicPort, ""
		case !ip.IsLoopback():
			return ip.String(), b.PublicPort, ""
		}
	}
	if len(all) > 0 {
		return "", 0, fmt.Sprintf("publishes its port %d on the loopback only, where nobody else can call it", private)
	}
	return "", 0, fmt.Sprintf("does not publish its port %d: use docker run -p", private)
}

// plain tells whether a text can stand in paths and names of any registry.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 100 && s != "." && s != ".."
}

// truth reads a flag as registrator does: anything but what says no.
func truth(s string) bool { return s != "" && s != "false" && s != "no" && s != "0" }
