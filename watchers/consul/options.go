package consul

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/consulconn"
	"smartstack/internal/registration"
)

// Options are the keys of "discovery" with method consul.
type Options struct {
	Hosts      []string             `cfg:"hosts|consul_hosts" doc:"Agents, tried in turn: host, host:port (8500) or a URL; https turns TLS on. Left out, the agent of this host."`
	Service    string               `cfg:"service" doc:"Name of the service in Consul."`
	Path       string               `cfg:"path" doc:"In place of service: path of the key-values, each of which is a backend."`
	Decode     registration.Options `cfg:"decode" doc:"With path: the form of the registrations."`
	Source     string               `cfg:"source" default:"health" doc:"With service: health (instances and their checks) or catalog (every registered instance, checked or not)."`
	Status     string               `cfg:"status" default:"passing" doc:"Which instances serve: passing (all checks pass), warning (those that warn, too) or any (but for maintenance)."`
	Tags       []string             `cfg:"tags|tag" doc:"Tags that an instance must carry, all of them."`
	Address    string               `cfg:"address" default:"auto" doc:"Where instances are called: auto (their own address, else the node's), node, or the name of a tagged address such as wan."`
	Datacenter string               `cfg:"datacenter|dc" doc:"Datacenter; left out, the agent's."`
	Stale      bool                 `cfg:"stale" default:"yes" doc:"Let every server answer, not the leader alone."`
	MaxStale   config.Seconds       `cfg:"max_stale" default:"10" doc:"How long a server that answers may have been without word of its leader, in seconds; the leader is asked otherwise."`
	Wait       config.Seconds       `cfg:"wait" default:"60" doc:"How long Consul may hold a query back while nothing changes, in seconds, 1 to 600. An agent that is stuck is noticed that late."`
	consulconn.Access
}

// The bounds of wait.
const (
	shortest = time.Second
	longest  = 10 * time.Minute
)

// A Run that lasts a minute is started again at once by its supervisor, so
// complaints are at least this far apart.
const complain = 65 * time.Second

// New makes the watcher; it does no I/O.
func New(o Options, pool *consulconn.Pool, log *slog.Logger) (*Watcher, error) {
	target, err := consulconn.NewTarget(o.Hosts, o.Access)
	if err != nil {
		return nil, fmt.Errorf("hosts: %w", err)
	}
	w := &Watcher{
		pool: pool, log: log, target: target, pace: consulconn.Pace{Wait: min(max(o.Wait.Duration(), shortest), longest)},
		tags: o.Tags, status: o.Status, address: o.Address, patience: complain,
	}
	if w.decode, err = o.Decode.Decoder(); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if !slices.Contains([]string{"passing", "warning", "any"}, o.Status) {
		return nil, fmt.Errorf("status: want passing, warning or any, got %q", o.Status)
	}
	if o.Address == "" || strings.ContainsAny(o.Address, " \t\r\n") {
		return nil, fmt.Errorf("address: want auto, node or the name of a tagged address, got %q", o.Address)
	}
	w.query, err = o.query()
	return w, err
}

func (o Options) query() (consulconn.Query, error) {
	read := consulconn.Read{Datacenter: o.Datacenter, Stale: o.Stale, MaxStale: o.MaxStale.Duration()}
	path := strings.Trim(o.Path, "/")
	switch {
	case o.Service != "" && o.Path != "":
		return consulconn.Query{}, errors.New("service and path are both given: keep one")
	case o.Path != "" && path == "":
		return consulconn.Query{}, fmt.Errorf("path: want something like upstreams/web, got %q", o.Path)
	case o.Path != "" && len(o.Tags) > 0:
		return consulconn.Query{}, errors.New("tags are for services; key-values have none")
	case o.Path != "":
		return consulconn.Keys(path, read), nil
	case o.Service == "":
		return consulconn.Query{}, errors.New("want the name of a service, or the path of key-values")
	case o.Source == "health":
		return consulconn.Health(o.Service, read), nil
	case o.Source == "catalog":
		return consulconn.Catalog(o.Service, read), nil
	}
	return consulconn.Query{}, fmt.Errorf("source: want health or catalog, got %q", o.Source)
}
