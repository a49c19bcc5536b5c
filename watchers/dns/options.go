package dns

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// Lookup tells how names are looked up.
type Lookup struct {
	Nameservers   []string       `cfg:"nameserver" doc:"Addresses of the nameservers, ip or ip:port; empty means those of /etc/resolv.conf."`
	CheckInterval config.Seconds `cfg:"check_interval" default:"30" doc:"Longest time between two look-ups of a name, in seconds; a shorter TTL goes first."`
}

// Options are the keys of the discovery method dns.
type Options struct {
	Lookup
	Servers []*config.Node `cfg:"servers,required" doc:"The servers: objects with host, port, name and labels, or just \"host\" or \"host:port\"."`
	Record  string         `cfg:"record" default:"a" doc:"a (addresses, A and AAAA) or srv (host, port, weight and priority from SRV records)."`

	List []Server `cfg:"-"` // Servers, once read
}

// Server is one entry of servers.
type Server struct {
	Host   string      `cfg:"host,required" doc:"Name or address."`
	Port   int         `cfg:"port" doc:"Port; without one the service needs backend_port_override."`
	Name   string      `cfg:"name" doc:"Name of the instance."`
	Labels config.JSON `cfg:"labels" doc:"Labels, for label_filters."`
}

// ValidateEach reads the servers.
func (o *Options) ValidateEach(n *config.Node, r *config.Report) {
	if len(o.Servers) == 0 {
		r.Fault(n.Get("servers"), "want at least one server")
	}
	for _, item := range o.Servers {
		var s Server
		if item.Kind() == config.Object {
			item.Decode(&s, r)
		} else {
			item.Decode(&s.Host, r)
			s.Host, s.Port = splitHost(s.Host)
		}
		if err := s.check(); err != nil {
			r.Fault(item, "%v", err)
		}
		o.List = append(o.List, s)
	}
	if _, ok := recordKinds[o.Record]; !ok {
		r.Fault(n.Get("record"), "want a or srv, got %q", o.Record)
	}
}

// splitHost takes "host", "host:port" and bare addresses apart.
func splitHost(text string) (host string, port int) {
	if _, err := netip.ParseAddr(text); err == nil {
		return text, 0
	}
	h, p, err := net.SplitHostPort(text)
	if err != nil {
		return text, 0
	}
	if port, err = strconv.Atoi(p); err != nil {
		return text, 0
	}
	return h, port
}

func (s Server) check() error {
	if strings.Contains(s.Host, ":") && !isAddress(s.Host) {
		return fmt.Errorf("want host or host:port, got %q", s.Host)
	}
	b, err := s.backend()
	if err != nil {
		return err
	}
	if b.Port == 0 {
		b.Port = 1 // it may come from elsewhere
	}
	return b.Validate()
}

func (s Server) backend() (service.Backend, error) {
	b := service.Backend{Name: s.Name, Host: s.Host, Port: s.Port}
	if s.Labels == "" {
		return b, nil
	}
	return b, json.Unmarshal([]byte(s.Labels), &b.Labels)
}

// nameserver completes "ip" or "ip:port". Names are refused: looking one up
// would need a nameserver.
func nameserver(text string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return net.JoinHostPort(a.String(), "53"), nil
	}
	if _, err := netip.ParseAddrPort(text); err != nil {
		return "", fmt.Errorf("nameserver: want ip or ip:port, got %q", text)
	}
	return text, nil
}

// Watcher follows the servers of the configuration. Make it with New.
type Watcher struct {
	follower *Follower
	wanted   service.Update
}

// New makes a watcher without I/O. port is the service's
// backend_port_override, for servers that have none of their own; 0 = none.
func New(o Options, port int, log *slog.Logger) (*Watcher, error) {
	f, err := NewFollower(o.Lookup, log)
	if err != nil {
		return nil, err
	}
	f.kinds = recordKinds[o.Record]
	var list []service.Backend
	for _, s := range o.List {
		b, err := s.backend()
		if err != nil {
			return nil, fmt.Errorf("server %s: %w", s.Host, err)
		}
		if b.Port == 0 {
			b.Port = port
		}
		list = append(list, b)
	}
	return &Watcher{follower: f, wanted: service.Update{Backends: service.SetOf(list...)}}, nil
}
