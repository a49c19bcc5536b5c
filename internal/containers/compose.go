package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"smartstack/internal/config"
)

// Compose makes the service of an offer, as it could stand in the file: the
// defaults, over them the service's own options, over them what the container
// says. instance is the name under which this host registers.
func (o *Options) Compose(offer Offer, instance string) (*config.Node, error) {
	base, err := decode(o.Defaults)
	if err != nil {
		return nil, err
	}
	own, listed := o.Services.Get(offer.Service)
	if !listed && o.ListedOnly {
		return nil, fmt.Errorf("service %s is not in docker.services, and listed_only is set", offer.Service)
	}
	more, err := decode(own)
	if err != nil {
		return nil, err
	}
	maps.Copy(base, more)
	filled, err := offer.fill(base)
	if err != nil {
		return nil, err
	}
	all := filled.(map[string]any)
	if err := offer.into(all, instance); err != nil {
		return nil, err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return config.Parse("container "+offer.Container, text, config.ReadOptions{})
}

func decode(n *config.Node) (map[string]any, error) {
	all := map[string]any{}
	if n.IsNull() {
		return all, nil
	}
	dec := json.NewDecoder(strings.NewReader(string(n.Canonical())))
	dec.UseNumber()
	return all, dec.Decode(&all)
}

// fill replaces ${service}, ${container} and ${label:KEY} in all texts.
func (o Offer) fill(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			filled, err := o.fill(value)
			if err != nil {
				return nil, err
			}
			v[key] = filled
		}
	case []any:
		for i, value := range v {
			filled, err := o.fill(value)
			if err != nil {
				return nil, err
			}
			v[i] = filled
		}
	case string:
		return o.text(v)
	}
	return v, nil
}

func (o Offer) text(s string) (string, error) {
	s = strings.NewReplacer("${service}", o.Service, "${container}", o.Container).Replace(s)
	for {
		before, rest, found := strings.Cut(s, "${label:")
		key, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return s, nil
		}
		value := o.keys["label."+key]
		if o.trial {
			value = "label"
		}
		if !plain(value) { // it may become part of a path
			return "", fmt.Errorf("the configuration uses its label %s, which is %.60q: want letters, digits, dot, minus and underscore", key, value)
		}
		s = before + value + after
	}
}

// checkTypes are what a container may ask for, and checkKeys what it may say of
// that, with the options that they become: calls of its own port, and nothing that
// reads a file or runs a command.
var (
	checkTypes = []string{"http", "tcp", "grpc", "noop"}
	checkKeys  = map[string]string{
		"uri": "uri", "timeout": "timeout", "open_timeout": "open_timeout", "read_timeout": "read_timeout", "ssl_timeout": "ssl_timeout",
		"rise": "rise", "fall": "fall", "expect": "expect", "ssl": "ssl", "ssl_verify": "ssl_verify",
		"codes": "expected_codes", "expected_codes": "expected_codes", "degraded_codes": "degraded_codes",
		"service": "grpc_service", "grpc_service": "grpc_service",
	}
)

// Chooses tells whether the container says how it is to be checked.
func (o Offer) Chooses() bool { return o.keys["check"] != "" }

// into lays what the container says over the options.
func (o Offer) into(all map[string]any, instance string) error {
	all["port"] = o.Port
	switch _, given := all["host"]; {
	case o.Host != "":
		all["host"] = o.Host
	case !given:
		all["host"] = "auto"
	}
	if _, given := all["instance_id"]; !given {
		all["instance_id"] = instance + "_" + o.Container
	}
	if name := o.keys["name"]; name != "" {
		all["instance_id"] = name
	}
	for key, option := range map[string]string{"weight": "weight", "haproxy_server_options": "haproxy_server_options", "check_interval": "check_interval"} {
		if value := o.keys[key]; value != "" {
			all[option] = value
		}
	}
	if err := o.labelsInto(all); err != nil {
		return err
	}
	return o.checkInto(all)
}

// labelsInto adds the container's labels for consumers; a text of theirs is
// never read as a template.
func (o Offer) labelsInto(all map[string]any) error {
	labels, ok := all["labels"].(map[string]any)
	if !ok {
		if all["labels"] != nil {
			return errors.New("labels in the configuration are no object")
		}
		labels = map[string]any{}
	}
	for key, value := range o.keys {
		if name, ok := strings.CutPrefix(key, "label."); ok {
			labels[name] = strings.ReplaceAll(value, "${", "$${")
		}
	}
	if len(labels) > 0 {
		all["labels"] = labels
	}
	return nil
}

// checkInto puts the container's check in place of the configured ones.
func (o Offer) checkInto(all map[string]any) error {
	kind := strings.ToLower(o.keys["check"])
	check := map[string]any{"type": kind}
	for _, key := range slices.Sorted(maps.Keys(o.keys)) {
		name, ok := strings.CutPrefix(key, "check.")
		if !ok {
			continue
		}
		option, allowed := checkKeys[name]
		if !allowed {
			return fmt.Errorf("a container cannot set %s of its check; allowed are %s", name, strings.Join(slices.Sorted(maps.Keys(checkKeys)), ", "))
		}
		check[option] = o.keys[key]
	}
	switch {
	case kind == "" && len(check) > 1 && all["checks"] == nil:
		return errors.New("says how to check, but not with what: add the label check, such as http")
	case kind == "":
		return nil
	case !slices.Contains(checkTypes, kind):
		return fmt.Errorf("a container cannot choose the check %.20q; allowed are %s, others stand in docker.services", kind, strings.Join(checkTypes, ", "))
	}
	all["checks"] = []any{check}
	return nil
}
