package checkconn

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Target is where a check looks: a host and port, or a unix socket.
type Target struct {
	Host   string `cfg:"host" doc:"Address to check; the service's host when absent."`
	Port   int    `cfg:"port" doc:"Port to check; the service's port when absent."`
	Socket string `cfg:"socket_path" doc:"Unix socket to check instead of host and port."`
}

// Where returns the network and address to dial.
func (t Target) Where() (network, address string, err error) {
	if t.Socket != "" {
		return "unix", t.Socket, nil
	}
	if t.Port < 1 || t.Port > 65535 {
		return "", "", fmt.Errorf("port: want 1 to 65535, got %d", t.Port)
	}
	return "tcp", net.JoinHostPort(t.host(), strconv.Itoa(t.Port)), nil
}

// host is Host without the brackets that an IPv6 address may have.
func (t Target) host() string { return strings.Trim(t.Host, "[]") }
