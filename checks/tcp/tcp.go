// Package tcp checks that a service accepts connections, over IPv4, IPv6 or a
// unix socket. Names are resolved on every check.
//
//	{"type": "tcp", "port": 8080, "timeout": 0.1}
//	{"type": "tcp", "socket_path": "/run/app.sock"}
package tcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	Host    string         `cfg:"host" doc:"Address to check; the service's host when absent."`
	Port    int            `cfg:"port" doc:"Port to check; the service's port when absent."`
	Socket  string         `cfg:"socket_path" doc:"Unix socket to check instead of host and port."`
	Timeout config.Seconds `cfg:"timeout" default:"0.1" doc:"Time to resolve and to connect, in seconds."`
}

// Check is one TCP check.
type Check struct {
	network, address string
	timeout          time.Duration
	dialer           net.Dialer
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	if o.Timeout <= 0 {
		return nil, errors.New("timeout: want more than 0 seconds")
	}
	c := &Check{timeout: o.Timeout.Duration(), dialer: net.Dialer{KeepAlive: -1}}
	if o.Socket != "" {
		c.network, c.address = "unix", o.Socket
		return c, nil
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port: want 1 to 65535, got %d", o.Port)
	}
	c.network, c.address = "tcp", net.JoinHostPort(strings.Trim(o.Host, "[]"), strconv.Itoa(o.Port))
	return c, nil
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.timeout }

// Check connects and hangs up.
func (c *Check) Check(ctx context.Context) error {
	conn, err := c.dialer.DialContext(ctx, c.network, c.address)
	if err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	return conn.Close()
}
