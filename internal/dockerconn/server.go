package dockerconn

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"smartstack/internal/service"
)

// TLS names the files for engines that want TLS.
type TLS struct {
	CAFile   string `cfg:"ca_file" doc:"PEM file with the authorities that may vouch for the engines; setting it turns TLS on for those with a host."`
	CertFile string `cfg:"cert_file" doc:"PEM file with our certificate; it is read at each TLS handshake, so it may be renewed in place."`
	KeyFile  string `cfg:"key_file" doc:"PEM file with the key of cert_file. It must not be readable for everybody."`
}

// Server is one entry of servers.
type Server struct {
	Name   string `cfg:"name" doc:"Name of the backends; left out, each is called as its container."`
	Host   string `cfg:"host" doc:"Host of the engine and of the published ports. With socket it is the latter alone, 127.0.0.1 unless given."`
	Port   int    `cfg:"port" doc:"Port of the engine: 4243 unless given, 2376 with TLS."`
	Socket string `cfg:"socket" doc:"Path of the engine's unix socket, instead of host and port."`
	TLS

	secure bool // by TLS
}

// The defaults of a server.
const (
	plainPort  = 4243 // as the original
	securePort = 2376
	LocalHost  = "127.0.0.1" // where a server with a socket and no host publishes
)

// ParseServer reads the short forms of a server.
func ParseServer(text string) (s Server, err error) {
	scheme, rest, found := strings.Cut(text, "://")
	switch {
	case !found:
		rest = text
	case scheme == "unix":
		return Server{Socket: rest}, nil
	case scheme == "https":
		s.secure = true
	case scheme != "tcp" && scheme != "http":
		return s, fmt.Errorf("want unix:///path, host, host:port, tcp:// or https://, got %q", text)
	}
	s.Host = strings.TrimSuffix(rest, "/")
	if _, err := netip.ParseAddr(s.Host); err == nil {
		return s, nil // an IPv6 address without a port
	}
	if u, err := url.Parse("//" + s.Host); err == nil && u.Port() != "" && u.Host == s.Host {
		s.Host = u.Hostname()
		s.Port, err = strconv.Atoi(u.Port())
		return s, err
	}
	return s, nil
}

// Complete checks a server and fills in what it leaves out.
func (s Server) Complete(shared TLS) (Server, error) {
	s.Socket = strings.TrimPrefix(s.Socket, "unix://")
	switch {
	case s.Socket == "" && s.Host == "":
		return s, errors.New("want a host, or the path of a socket")
	case s.Socket != "" && s.Port != 0:
		return s, errors.New("socket and port exclude each other")
	case s.Socket != "" && !strings.HasPrefix(s.Socket, "/"):
		return s, fmt.Errorf("socket: want an absolute path, got %q", s.Socket)
	case s.Socket != "" && (s.TLS != TLS{} || s.secure):
		return s, errors.New("a socket knows no TLS")
	}
	if s.Socket == "" {
		s.CAFile = cmp.Or(s.CAFile, shared.CAFile)
		if s.CertFile == "" && s.KeyFile == "" {
			s.CertFile, s.KeyFile = shared.CertFile, shared.KeyFile
		}
		s.secure = s.secure || s.TLS != TLS{}
		if (s.CertFile == "") != (s.KeyFile == "") {
			return s, errors.New("cert_file and key_file need each other")
		}
		if s.Port == 0 {
			s.Port = plainPort
			if s.secure {
				s.Port = securePort
			}
		}
	}
	trial := service.Backend{Name: s.Name, Host: cmp.Or(s.Host, LocalHost), Port: cmp.Or(s.Port, 1)}
	return s, trial.Validate()
}

// Secure tells whether the server is called by TLS.
func (s Server) Secure() bool { return s.secure }

// String names the server for a person.
func (s Server) String() string {
	if s.Name != "" {
		return s.Name + " (" + s.Where() + ")"
	}
	return s.Where()
}

// Where is the engine's address, as it may be configured.
func (s Server) Where() string {
	if s.Socket != "" {
		return "unix://" + s.Socket
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// Entry names something on the server, without spaces.
func (s Server) Entry(what string) string { return cmp.Or(s.Name, s.Where()) + "/" + what }
