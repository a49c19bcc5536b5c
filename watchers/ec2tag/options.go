package ec2tag

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/ec2poll"
	"smartstack/internal/secret"
)

// Options are the keys of "discovery" with method ec2tag.
type Options struct {
	TagName       string                  `cfg:"tag_name" doc:"Key of the tag that the instances carry."`
	TagValue      config.Optional[string] `cfg:"tag_value" doc:"Value of the tag; left out, any value will do."`
	Tags          []Tag                   `cfg:"tags" doc:"Further tags; an instance must carry all of them."`
	PortTag       string                  `cfg:"port_tag" doc:"Key of the tag whose value is the port; needed where the service has no backend_port_override."`
	Address       string                  `cfg:"address" default:"private_ip" doc:"Where the instances are called: private_ip, public_ip, private_dns or ipv6."`
	Region        string                  `cfg:"aws_region" doc:"Region; left out, it comes from AWS_REGION, the profile or the host's metadata."`
	KeyID         string                  `cfg:"aws_access_key_id" doc:"Access key; left out, credentials come from the environment, the profile, or the role of the container or the host."`
	Secret        secret.Text             `cfg:"aws_secret_access_key" doc:"Secret of the access key."`
	CheckInterval config.Seconds          `cfg:"check_interval" default:"15" doc:"Time between two polls, in seconds, at least 1; the shortest of all services that share a poller counts."`
}

// Tag is one tag that an instance must carry.
type Tag struct {
	Name  string                  `cfg:"name,required" doc:"Key of the tag."`
	Value config.Optional[string] `cfg:"value" doc:"Value of the tag; left out, any value will do."`
}

// The bounds of check_interval.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
)

// A Run that lasts a minute is started again at once by its supervisor, one
// that is shorter after a growing delay, in which nobody would ask EC2. So
// complaints are at least this far apart.
const complain = 65 * time.Second

// New makes the watcher; it does no I/O. override is the service's
// backend_port_override, 0 = none.
func New(o Options, override int, pool *ec2poll.Pool, log *slog.Logger) (*Watcher, error) {
	address, ok := addresses()[o.Address]
	interval := min(max(o.CheckInterval.Duration(), shortest), longest)
	w := &Watcher{
		pool: pool, log: log, tags: wanted(o), override: override, portTag: o.PortTag, address: address,
		addressName: o.Address, interval: interval, patience: max(3*interval, complain),
	}
	switch {
	case len(w.tags) == 0 && o.TagValue.Set:
		return nil, errors.New("tag_value needs a tag_name")
	case len(w.tags) == 0:
		return nil, errors.New("no tag: want a tag_name, or a list of tags")
	case !ok:
		return nil, fmt.Errorf("address: want private_ip, public_ip, private_dns or ipv6, got %q", o.Address)
	case (o.KeyID == "") != (o.Secret == ""):
		return nil, errors.New("aws_access_key_id and aws_secret_access_key need each other; leave both out for the environment's or the role's")
	case override == 0 && o.PortTag == "":
		return nil, errors.New("EC2 knows no ports: set backend_port_override in the service, or name the tag that holds the port in port_tag")
	}
	for _, t := range w.tags {
		if t.key == "" {
			return nil, errors.New("tags: the name of a tag is empty")
		}
	}
	w.query = ec2poll.Query{Region: o.Region, KeyID: o.KeyID, Secret: o.Secret, Tag: w.tags[0].key}
	return w, nil
}

// want is one tag that an instance must carry.
type want struct {
	key, value string
	any        bool // whatever the value
}

// wanted lists all tags; EC2 is asked for the first.
func wanted(o Options) []want {
	var all []want
	if o.TagName != "" {
		all = append(all, newWant(o.TagName, o.TagValue))
	}
	for _, t := range o.Tags {
		all = append(all, newWant(t.Name, t.Value))
	}
	return all
}

func newWant(key string, value config.Optional[string]) want {
	return want{key: key, value: value.Value, any: !value.Set || value.Null}
}

// addresses are the values of option address.
func addresses() map[string]func(*ec2poll.Instance) string {
	return map[string]func(*ec2poll.Instance) string{
		"private_ip":  func(i *ec2poll.Instance) string { return i.PrivateIP },
		"public_ip":   func(i *ec2poll.Instance) string { return i.PublicIP },
		"private_dns": func(i *ec2poll.Instance) string { return i.PrivateDNS },
		"ipv6":        func(i *ec2poll.Instance) string { return i.IPv6 },
	}
}
