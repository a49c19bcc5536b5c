package docker

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
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
type TLS = dockerconn.TLS

// Server is one entry of servers.
type Server = dockerconn.Server

// ValidateEach reads the servers.
func (o *Options) ValidateEach(n *config.Node, r *config.Report) {
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
			s, err = dockerconn.ParseServer(text)
		}
		if len(r.Faults()) > before {
			continue
		}
		if err == nil {
			s, err = s.Complete(o.TLS)
		}
		if err != nil {
			r.Fault(item, "%v", err)
			continue
		}
		o.List = append(o.List, s)
	}
}

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
	w := &Watcher{log: log, rule: rule, pace: dockerconn.PaceFor(interval), patience: max(3*interval, complain)}
	for _, s := range o.List {
		w.engines = append(w.engines, engine{server: s, dial: s.Dial})
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
