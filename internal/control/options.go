package control

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
)

// Options say where a program answers. The section has the same keys in nerve
// and synapse.
type Options struct {
	Socket    string   `cfg:"socket" doc:"Unix socket on which the program answers its subcommands, mode 0600; none for no socket. Default: /run/smartstack/PROGRAM.sock when that directory is there."`
	Listen    string   `cfg:"listen" doc:"host:port on which the program serves its page, /metrics and the same answers over HTTP. Only a loopback address, unless remote is set. Default: no port."`
	TokenFile string   `cfg:"token_file" doc:"File with the token that requests to listen must bear (Authorization: Bearer TOKEN), read at each request. It must not be readable for everybody. Without it the port is read-only."`
	OpenReads bool     `cfg:"open_reads" default:"no" doc:"Reading on listen needs no token; changing always does."`
	Remote    bool     `cfg:"remote" default:"no" doc:"listen may be an address that other hosts can reach; needs token_file. The port speaks plain HTTP."`
	Hosts     []string `cfg:"hosts" doc:"Names by which listen may be called, beside localhost and plain addresses."`
}

// RuntimeDir holds the sockets unless options say otherwise.
const RuntimeDir = "/run/smartstack"

// NoSocket as Options.Socket means that there is none.
const NoSocket = "none"

// maxPath is the longest path that a unix socket can have on Linux.
const maxPath = 107

// DefaultSocket is where program answers unless its options say otherwise.
func DefaultSocket(program string) string { return filepath.Join(RuntimeDir, program+".sock") }

// Check reports what of o cannot be meant. It does no I/O.
func (o Options) Check() error {
	var errs []error
	if len(o.Socket) > maxPath {
		errs = append(errs, fmt.Errorf("control.socket: a path of %d bytes is longer than the %d that a unix socket can have", len(o.Socket), maxPath))
	}
	if o.Listen == "" {
		return errors.Join(errs...)
	}
	host, _, err := net.SplitHostPort(o.Listen)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("control.listen: want host:port: %w", err))
	case isLoopback(host):
	case !o.Remote:
		errs = append(errs, fmt.Errorf("control.listen: other hosts may reach %q; want a loopback address such as 127.0.0.1, or set control.remote", o.Listen))
	case o.TokenFile == "":
		errs = append(errs, errors.New("control.remote needs control.token_file: without a token everybody could read"))
	}
	return errors.Join(errs...)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (o Options) equal(p Options) bool {
	same := slices.Equal(o.Hosts, p.Hosts)
	o.Hosts, p.Hosts = nil, nil
	return same && fmt.Sprint(o) == fmt.Sprint(p)
}
