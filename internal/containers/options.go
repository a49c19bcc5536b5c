package containers

import (
	"errors"
	"fmt"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/dockerconn"
)

// Options are the keys of "docker" in nerve's file.
type Options struct {
	Server      string                   `cfg:"server" default:"unix:///var/run/docker.sock" doc:"The Docker engine of this host: unix:///path, host:port or https://host:port."`
	Prefix      string                   `cfg:"label_prefix" default:"smartstack" doc:"What the labels begin with: PREFIX.service names the service of a container."`
	Registrator bool                     `cfg:"registrator" default:"yes" doc:"Take registrator's SERVICE_NAME and the like, in labels or the container's environment, for the same."`
	Address     string                   `cfg:"address" default:"published" doc:"What is registered: published (the published port, on this host) or container (the container's own address in a network)."`
	Network     string                   `cfg:"network" doc:"The network whose address counts with address container; needed where a container is in more than one."`
	Interval    config.Seconds           `cfg:"check_interval" default:"15" doc:"Time between two full reads of the engine, in seconds, at least 1; changes are seen at once by the engine's events."`
	Defaults    *config.Node             `cfg:"defaults" doc:"A service's options, for all that come from containers: where to register them, checks, drains. ${service}, ${container} and ${label:KEY} stand for the container's own; host is auto when it is left out."`
	Services    config.Map[*config.Node] `cfg:"services" doc:"Options of single services by name, over those in defaults."`
	ListedOnly  bool                     `cfg:"listed_only" default:"no" doc:"Take only services that stand in services, so that no container can offer another."`
	dockerconn.TLS

	server dockerconn.Server
}

// The bounds of check_interval.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
)

// Validate is called by the decoder.
func (o *Options) Validate(n *config.Node, r *config.Report) {
	s, err := dockerconn.ParseServer(o.Server)
	if err == nil {
		s.TLS = o.TLS
		s, err = s.Complete(dockerconn.TLS{})
	}
	o.server = s
	if err != nil {
		r.Fault(n.Get("server"), "%v", err)
	}
	if err := o.words(); err != nil {
		r.Fault(n, "%v", err)
	}
	if kind := o.Defaults.Kind(); o.Defaults != nil && kind != config.Object {
		r.Fault(o.Defaults, "want an object, got %s", kind)
	}
	for _, s := range o.Services {
		if s.Value.Kind() != config.Object {
			r.Fault(s.Node, "want an object, got %s", s.Value.Kind())
		}
	}
}

func (o *Options) words() error {
	switch {
	case o.Address != "published" && o.Address != "container":
		return fmt.Errorf("address: want published or container, got %q", o.Address)
	case o.Address == "published" && o.Network != "":
		return errors.New("network means something with address container only")
	case o.Prefix == "":
		return errors.New("label_prefix is empty")
	}
	return nil
}

// Key is equal for options that follow the same engine in the same way.
func (o *Options) Key() string {
	return fmt.Sprintf("%q %q %v %q %q %v %v", o.Server, o.Prefix, o.Registrator, o.Address, o.Network, o.Interval, o.TLS)
}
