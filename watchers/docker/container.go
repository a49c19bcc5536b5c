package docker

import (
	"cmp"

	"smartstack/internal/dockerconn"
	"smartstack/internal/service"
)

// rule tells which containers are backends, and where.
type rule struct {
	image    reference
	port     int
	protocol string
	labels   []label
	own      bool   // the container's own address
	network  string // "" = the only one
}

// label is one label that a container must have.
type label struct {
	key, value string
	exact      bool // with this value
}

// labelled reports whether a container has all labels.
func (r *rule) labelled(c *dockerconn.Container) bool {
	for _, l := range r.labels {
		if value, there := c.Labels[l.key]; !there || l.exact && value != l.value {
			return false
		}
	}
	return true
}

// entry is one container of the service: a backend, or the reason why it is
// none.
type entry struct {
	name    string
	backend service.Backend
	reason  string
}

// judge makes an entry of a container that runs the image.
func (r *rule) judge(s Server, c *dockerconn.Container) entry {
	e := entry{name: s.Entry(c.Name())}
	if e.reason = c.Running(); e.reason != "" {
		return e
	}
	e.backend.Name = cmp.Or(s.Name, c.Name())
	switch {
	case c.HostNetwork():
		e.backend.Host, e.backend.Port = cmp.Or(s.Host, dockerconn.LocalHost), r.port
	case r.own:
		e.backend.Port = r.port
		e.backend.Host, e.reason = c.OwnAddress(r.network)
	default:
		e.backend.Host, e.backend.Port, e.reason = c.Published(s, r.port, r.protocol)
	}
	return e
}
