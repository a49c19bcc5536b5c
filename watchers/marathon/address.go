package marathon

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"smartstack/internal/marathonconn"
)

// place tells where a task is called.
type place struct {
	index, service, port int    // of the port; port 0 = not fixed
	name                 string // of the port
	onHost               bool   // always through the agent
	ip                   int    // which address of the task's own
	override             int    // the hub replaces the port anyway; 0 = it does not
}

// of returns the address of a task, or why it has none.
func (p place) of(a *marathonconn.App, t *marathonconn.Task) (host string, port int, err error) {
	own := ownAddress(a) && !p.onHost
	host = t.Host
	if own {
		if host, err = p.address(t); err != nil {
			return "", 0, err
		}
	}
	if host == "" {
		return "", 0, errors.New("has no host")
	}
	port, err = p.portOf(a, t, own)
	if err != nil && p.override != 0 {
		return host, p.override, nil
	}
	return host, port, err
}

// ownAddress reports whether each task has an address of its own: networks
// since 1.5, ipAddress or the Docker network until then.
func ownAddress(a *marathonconn.App) bool {
	if len(a.Networks) > 0 {
		return a.Networks[0].Mode == "container"
	}
	return a.IPAddress != nil || a.Container != nil && a.Container.Docker.Network == "USER"
}

// address returns one of the task's own, IPv4 before IPv6.
func (p place) address(t *marathonconn.Task) (string, error) {
	var four, six []string
	for _, a := range t.IPAddresses {
		ip, err := netip.ParseAddr(a.IPAddress)
		switch {
		case err != nil:
		case ip.Is4():
			four = append(four, a.IPAddress)
		default:
			six = append(six, a.IPAddress)
		}
	}
	all := slices.Concat(four, six)
	if p.ip >= len(all) {
		return "", fmt.Errorf("has no address with ip_index %d: it has %d of its own", p.ip, len(all))
	}
	return all[p.ip], nil
}

func (p place) portOf(a *marathonconn.App, t *marathonconn.Task, own bool) (int, error) {
	if p.port != 0 {
		return p.port, nil
	}
	slots := slotsOf(a)
	index, err := p.slot(slots, t)
	if err != nil {
		return 0, err
	}
	if !own {
		if index >= len(t.Ports) {
			return 0, fmt.Errorf("has no port with index %d: it has %d", index, len(t.Ports))
		}
		return int(t.Ports[index]), nil
	}
	if index >= len(slots) {
		return 0, fmt.Errorf("has no port with index %d: its app maps %d", index, len(slots))
	}
	return slots[index].container, nil
}

// slot is one port of an app, as its definition describes it.
type slot struct {
	name               string
	service, container int
}

// slotsOf lists the ports of an app, in the order of its tasks' ports. It is
// empty where the definition was not read.
func slotsOf(a *marathonconn.App) []slot {
	var slots []slot
	for _, m := range mappings(a) {
		slots = append(slots, slot{m.Name, int(m.ServicePort), int(m.ContainerPort)})
	}
	if len(slots) == 0 && a.IPAddress != nil {
		for _, d := range a.IPAddress.Discovery.Ports {
			slots = append(slots, slot{name: d.Name, container: int(d.Number)})
		}
	}
	if len(slots) == 0 {
		for _, d := range a.PortDefinitions {
			slots = append(slots, slot{name: d.Name, service: int(d.Port)})
		}
	}
	if len(slots) == 0 {
		for _, port := range a.Ports {
			slots = append(slots, slot{service: int(port)})
		}
	}
	return slots
}

// mappings returns the port mappings, which count unless the tasks use the
// host's network.
func mappings(a *marathonconn.App) []marathonconn.PortMapping {
	switch {
	case a.Container == nil || len(a.Networks) > 0 && a.Networks[0].Mode == "host":
		return nil
	case len(a.Container.PortMappings) > 0:
		return a.Container.PortMappings
	case a.Container.Docker.Network == "HOST":
		return nil
	default:
		return a.Container.Docker.PortMappings
	}
}

// slot returns the index of the wanted port.
func (p place) slot(slots []slot, t *marathonconn.Task) (int, error) {
	var is func(slot) bool
	var what string
	switch {
	case p.name != "":
		what, is = fmt.Sprintf("port_name %q", p.name), func(s slot) bool { return s.name == p.name }
	case p.service != 0:
		what, is = fmt.Sprintf("service_port %d", p.service), func(s slot) bool { return s.service == p.service }
		if len(slots) == 0 { // the list of all tasks has them
			for _, port := range t.ServicePorts {
				slots = append(slots, slot{service: int(port)})
			}
		}
	default:
		return p.index, nil
	}
	found := -1
	for i, s := range slots {
		if !is(s) {
			continue
		}
		if found >= 0 {
			return 0, fmt.Errorf("its app gives %s to more than one port", what)
		}
		found = i
	}
	if found < 0 {
		return 0, fmt.Errorf("its app has no port with %s, among %d", what, len(slots))
	}
	return found, nil
}
