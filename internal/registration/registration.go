package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"smartstack/internal/service"
)

// Options tell how registrations are written.
type Options struct {
	Method       string `cfg:"method" default:"auto" doc:"auto (whatever is recognised), nerve, serverset, registrator or upsync."`
	EndpointName string `cfg:"endpoint_name" doc:"Which of a serverset's additional endpoints to take; empty means its service endpoint."`
}

// Decoder reads one registration. key is the last element of where it stands.
type Decoder func(key string, data []byte) (service.Backend, error)

// Decoder returns what reads the form that o names.
func (o Options) Decoder() (Decoder, error) {
	method := strings.ToLower(o.Method)
	if o.EndpointName != "" && method != "serverset" && method != "auto" && method != "" {
		return nil, fmt.Errorf("endpoint_name is for method serverset, not for %s", method)
	}
	var d Decoder
	switch method {
	case "", "auto":
		d = recognise(o.EndpointName)
	case "nerve":
		d = nerve
	case "serverset":
		d = serverset(o.EndpointName)
	case "registrator":
		d = registrator
	case "upsync":
		d = upsync
	default:
		return nil, fmt.Errorf("unknown method %q, want auto, nerve, serverset, registrator or upsync", o.Method)
	}
	return func(key string, data []byte) (service.Backend, error) {
		if len(data) > service.MaxPayload {
			return service.Backend{}, fmt.Errorf("%d bytes are over the limit of %d", len(data), service.MaxPayload)
		}
		return d(key, data)
	}, nil
}

func nerve(_ string, data []byte) (service.Backend, error) { return service.DecodePayload(data) }

// recognise tells the forms apart by what only one of them has. Nerve's comes
// first, so that it costs nothing more, and its complaint is the one to tell
// when no form fits.
func recognise(endpoint string) Decoder {
	members := serverset(endpoint)
	return func(key string, data []byte) (service.Backend, error) {
		b, err := service.DecodePayload(data)
		if err == nil {
			return b, nil
		}
		text := bytes.TrimSpace(data)
		if len(text) == 0 {
			return b, err
		}
		if text[0] != '{' {
			if other, no := registrator(key, data); no == nil {
				return other, nil
			}
			return b, err
		}
		var has map[string]json.RawMessage
		if json.Unmarshal(text, &has) != nil {
			return b, err
		}
		switch {
		case has["serviceEndpoint"] != nil:
			return members(key, data)
		case has["IP"] != nil && has["PublicPort"] != nil:
			return registrator(key, data)
		case has["host"] == nil && anyOf(has, "weight", "max_fails", "fail_timeout", "down", "backup"):
			if _, no := netip.ParseAddrPort(key); no == nil {
				return upsync(key, data)
			}
		}
		return b, err
	}
}

func anyOf(has map[string]json.RawMessage, keys ...string) bool {
	for _, key := range keys {
		if has[key] != nil {
			return true
		}
	}
	return false
}

type endpoint struct {
	Host string
	Port json.RawMessage
}

// serverset reads the registrations of Finagle and of Aurora. An empty name
// means the service endpoint.
func serverset(name string) Decoder {
	return func(_ string, data []byte) (service.Backend, error) {
		var member struct {
			ServiceEndpoint     *endpoint
			AdditionalEndpoints map[string]*endpoint
			Shard               json.RawMessage
		}
		if err := json.Unmarshal(data, &member); err != nil {
			return service.Backend{}, fmt.Errorf("is no serverset member: %w", err)
		}
		e := member.ServiceEndpoint
		if name != "" {
			e = member.AdditionalEndpoints[name]
		}
		if e == nil || e.Host == "" {
			return service.Backend{}, fmt.Errorf("has no host for endpoint %q", name)
		}
		port, err := strconv.Atoi(unquote(e.Port))
		if err != nil {
			return service.Backend{}, errors.New("has no port that is a number")
		}
		return service.Backend{Name: unquote(member.Shard), Host: e.Host, Port: port}, nil
	}
}

// registrator reads what Registrator writes: host:port as text into etcd and
// Consul's key-values, under the service's id, which becomes the name; an
// object into ZooKeeper, whose container becomes the name and whose attributes
// become the labels.
func registrator(key string, data []byte) (service.Backend, error) {
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return service.Backend{}, errors.New("is empty")
	}
	if text[0] != '{' {
		host, port, err := hostPort(string(text))
		return service.Backend{Name: key, Host: host, Port: port}, err
	}
	var body struct {
		IP, ContainerID string
		PublicPort      int
		Attrs           map[string]string
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return service.Backend{}, fmt.Errorf("is not what Registrator writes: %w", err)
	}
	if body.IP == "" {
		return service.Backend{}, errors.New("has no IP")
	}
	b := service.Backend{Name: body.ContainerID, Host: body.IP, Port: body.PublicPort}
	if len(body.Attrs) > 0 {
		labels, err := json.Marshal(body.Attrs)
		if err != nil {
			return service.Backend{}, fmt.Errorf("its attributes: %w", err)
		}
		b.Labels = service.Labels(labels)
	}
	return b, nil
}

// upsync reads a server as nginx-upsync has it: the key is ip:port, the value
// an object, which may be left out. HAProxy has no max_fails and fail_timeout
// without health checks, so those are kept as labels.
func upsync(key string, data []byte) (service.Backend, error) {
	host, port, err := hostPort(key)
	if err != nil {
		return service.Backend{}, fmt.Errorf("the key: %w", err)
	}
	b := service.Backend{Host: host, Port: port, Weight: service.KnownInt(1)}
	if len(bytes.TrimSpace(data)) == 0 {
		return b, nil
	}
	var server map[string]json.RawMessage
	if err := json.Unmarshal(data, &server); err != nil {
		return service.Backend{}, fmt.Errorf("is no object of weight, down and so on: %w", err)
	}
	var rest []string
	for _, name := range []string{"weight", "max_fails", "fail_timeout", "down", "backup"} {
		n, given, err := number(server[name])
		switch {
		case err != nil:
			return service.Backend{}, fmt.Errorf("%s: %w", name, err)
		case !given:
		case name == "weight" && n < 1:
			return service.Backend{}, fmt.Errorf("weight %d is not above 0", n)
		case name == "weight":
			b.Weight = service.KnownInt(n)
		case name == "down" && n != 0:
			return service.Backend{}, errors.New("is marked as down")
		case name == "backup":
			b.Backup = n != 0
		case name == "max_fails", name == "fail_timeout":
			rest = append(rest, fmt.Sprintf("%q:%d", name, n))
		}
	}
	if len(rest) > 0 {
		b.Labels = service.Labels("{" + strings.Join(rest, ",") + "}")
	}
	return b, nil
}

// number reads 2, "2", "10s", true and false.
func number(raw json.RawMessage) (n int64, given bool, err error) {
	text := unquote(raw)
	switch text {
	case "", "null":
		return 0, false, nil
	case "true":
		return 1, true, nil
	case "false":
		return 0, true, nil
	}
	n, err = strconv.ParseInt(strings.TrimSuffix(text, "s"), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("want a whole number, got %.40q", text)
	}
	return n, true, nil
}

func hostPort(text string) (string, int, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("want host:port, got %.60q", text)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return "", 0, fmt.Errorf("port %.20q is not a number", port)
	}
	return host, n, nil
}

// unquote returns a JSON number or string as text; null is empty.
func unquote(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
