package facts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// elsewhere are addresses for documentation: nobody has them, so the way there
// is the way to everywhere.
var elsewhere = [...]string{"192.0.2.1:9", "[2001:db8::1]:9"}

// towards returns the address from which this host calls the first of hosts
// that it has a way to. A registry on this host itself says nothing of how
// others reach us; then, and without hosts, it is the way to everywhere that
// counts. Nothing is sent.
func towards(ctx context.Context, hosts []string) (string, error) {
	var errs []error
	var local netip.Addr
	for _, host := range hosts {
		switch a, err := from(ctx, host); {
		case err != nil:
			errs = append(errs, err)
		case a.IsLoopback():
			local = a
		default:
			return a.String(), nil
		}
	}
	if len(hosts) > 0 && !local.IsValid() {
		return "", errors.Join(errs...)
	}
	for _, host := range elsewhere {
		if a, err := from(ctx, host); err == nil && !a.IsLoopback() {
			return a.String(), nil
		}
	}
	if local.IsValid() { // a host of its own
		return local.String(), nil
	}
	return "", errors.New("this host has no way out: it has no default route")
}

// from returns the local address of a socket that is set up for host.
func from(ctx context.Context, host string) (netip.Addr, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", host)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%s: the socket has the address %s", host, conn.LocalAddr())
	}
	return at.AddrPort().Addr().Unmap().WithZone(""), nil
}

// HasInterface tells whether this host has an interface of that name.
func HasInterface(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// ofInterface returns an address of the interface that others can call: the
// first of IPv4, else the first of IPv6. That of loopback is its own.
func ofInterface(name string) (string, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	addrs, err := i.Addrs()
	if err != nil {
		return "", err
	}
	return choose(addrs)
}

func choose(addrs []net.Addr) (string, error) {
	var six netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		switch addr := p.Addr().Unmap(); {
		case addr.Is4():
			return addr.String(), nil
		case !six.IsValid():
			six = addr
		}
	}
	if six.IsValid() {
		return six.String(), nil
	}
	return "", errors.New("it has no address that others can call")
}
