package preflight

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// try returns why HAProxy could not have the port at any of the addresses; nil
// where that cannot be told.
func (b bind) try(process Process) (err error) {
	for _, l := range b.may {
		if err = l.try(process); err == nil {
			return nil
		}
	}
	if err != nil {
		err = fmt.Errorf("bind %s: %w", b.text, err)
	}
	return err
}

// try binds as HAProxy does, but never listens: nobody is taken away from whoever
// has the port.
func (l listener) try(process Process) error {
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(l.address.Port()), Addr: l.address.Addr().As16()})
	if l.address.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(l.address.Port()), Addr: l.address.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return nil // this host lacks IPv6, which HAProxy finds out as well
	}
	defer unix.Close(fd)
	options := []struct{ level, name, value int }{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}}
	switch l.dual {
	case "v6only":
		options = append(options, struct{ level, name, value int }{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1})
	case "v4v6":
		options = append(options, struct{ level, name, value int }{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0})
	}
	for _, o := range options {
		_ = unix.SetsockoptInt(fd, o.level, o.name, o.value) // HAProxy goes on without, too
	}
	switch err := unix.Bind(fd, address); {
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EACCES) && !process.Gains:
		return err
	default:
		return nil
	}
}
