package docker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// Options are the keys of "discovery" with method docker.
type Options struct {
	Servers       []*config.Node `cfg:"servers,required" doc:"The Docker engines: objects with name, host and port (4243), or socket; or just \"unix:///path\", \"host\", \"host:port\" or \"https://host:port\"."`
	ImageName     string         `cfg:"image_name,required" doc:"The image that the containers run: a repository, which matches any tag, or a full reference with a tag or a digest."`
	ContainerPort string         `cfg:"container_port,required" doc:"The port inside the container, as 80 or 53/udp."`
	CheckInterval config.Seconds `cfg:"check_interval" default:"15" doc:"Time between two full reads of an engine, in seconds, at least 1; changes are seen at once by the engine's events."`
	Labels        []string       `cfg:"labels" doc:"Labels that a container must all have, each as key or key=value."`
	Address       string         `cfg:"address" default:"published" doc:"Where containers are called: published (the published port, on the server's host) or container (their own address in a network)."`
	Network       string         `cfg:"network" doc:"The network whose address counts with address container; needed where a container is in more than one."`
	TLS

	List []Server `cfg:"-"` // Servers, once read
}

// TLS names the files for engines that want TLS.
type TLS struct {
	CAFile   string `cfg:"ca_file" doc:"PEM file with the authorities that may vouch for the engines; setting it turns TLS on for those with a host."`
	CertFile string `cfg:"cert_file" doc:"PEM file with our certificate; it is read at each TLS handshake, so it may be renewed in place."`
	KeyFile  string `cfg:"key_file" doc:"PEM file with the key of cert_file."`
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

const (
	plainPort  = 4243 // as the original
	securePort = 2376
	localHost  = "127.0.0.1"
)

// Validate reads the servers.
func (o *Options) Validate(n *config.Node, r *config.Report) {
	if len(o.Servers) == 0 {
		r.Fault(n.Get("servers"), "want at least one server")
	}
	for _, item := range o.Servers {
		var s Server
		var err error
		before := len(r.Faults())
		if item.Kind() == config.Object {
			item.Decode(&s, r)
		} else {
			var text string
			item.Decode(&text, r)
			s, err = parseServer(text)
		}
		if len(r.Faults()) > before {
			continue
		}
		if err == nil {
			s, err = s.complete(o.TLS)
		}
		if err != nil {
			r.Fault(item, "%v", err)
			continue
		}
		o.List = append(o.List, s)
	}
}

// parseServer reads the short forms of a server.
func parseServer(text string) (s Server, err error) {
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

// complete checks a server and fills in what it leaves out.
func (s Server) complete(shared TLS) (Server, error) {
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
	trial := service.Backend{Name: s.Name, Host: cmp.Or(s.Host, localHost), Port: cmp.Or(s.Port, 1)}
	return s, trial.Validate()
}

// String names the server for a person.
func (s Server) String() string {
	if s.Name != "" {
		return s.Name + " (" + s.where() + ")"
	}
	return s.where()
}

func (s Server) where() string {
	if s.Socket != "" {
		return "unix://" + s.Socket
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
}

// entry names something on the server, without spaces.
func (s Server) entry(what string) string { return cmp.Or(s.Name, s.where()) + "/" + what }

// The bounds of check_interval.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
)

// A Run that lasts a minute is started again at once by its supervisor, one
// that is shorter after a growing delay, in which nobody would ask the
// engines. So complaints are at least this far apart.
const complain = 65 * time.Second

// New makes the watcher; it does no I/O.
func New(o Options, log *slog.Logger) (*Watcher, error) {
	image, err := parseReference(o.ImageName)
	if err != nil {
		return nil, fmt.Errorf("image_name: %w", err)
	}
	port, protocol, err := parsePort(o.ContainerPort)
	if err != nil {
		return nil, fmt.Errorf("container_port: %w", err)
	}
	rule := &rule{image: image, port: port, protocol: protocol, network: o.Network}
	switch o.Address {
	case "published":
		if o.Network != "" {
			return nil, errors.New("network means something with address container only")
		}
	case "container":
		rule.own = true
	default:
		return nil, fmt.Errorf("address: want published or container, got %q", o.Address)
	}
	for _, text := range o.Labels {
		key, value, exact := strings.Cut(text, "=")
		if key == "" {
			return nil, fmt.Errorf("labels: want key or key=value, got %q", text)
		}
		rule.labels = append(rule.labels, label{key: key, value: value, exact: exact})
	}
	if len(o.List) == 0 {
		return nil, errors.New("servers: want at least one server")
	}
	interval := min(max(o.CheckInterval.Duration(), shortest), longest)
	w := &Watcher{log: log, rule: rule, pace: paceFor(interval), patience: max(3*interval, complain)}
	for _, s := range o.List {
		w.engines = append(w.engines, engine{server: s, dial: s.dial})
	}
	return w, nil
}

// parsePort reads 80, 80/tcp and 53/udp.
func parsePort(text string) (port int, protocol string, err error) {
	number, protocol, found := strings.Cut(text, "/")
	if !found {
		protocol = "tcp"
	}
	port, err = strconv.Atoi(number)
	if err != nil || port < 1 || port > 65535 {
		return 0, "", fmt.Errorf("want a port from 1 to 65535, got %q", text)
	}
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return 0, "", fmt.Errorf("want tcp, udp or sctp after the slash, got %q", text)
	}
	return port, protocol, nil
}
