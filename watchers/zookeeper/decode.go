package zookeeper

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"smartstack/internal/service"
)

// decoder reads one registration.
type decoder func(data []byte) (service.Backend, error)

func (d Decode) decoder() (decoder, error) {
	switch strings.ToLower(d.Method) {
	case "", "nerve":
		return service.DecodePayload, nil
	case "serverset":
		return serverset(d.EndpointName), nil
	}
	return nil, fmt.Errorf("unknown method %q, want nerve or serverset", d.Method)
}

// The beginnings of names that mean something.
const (
	encodedPrefix   = "base64_" // the registration stands in the name
	protectedPrefix = "_c_"     // blablacar's nerve, which rewrites its nodes
	sequenceDigits  = 10
)

// maxEncoded is the longest registration that nerve puts into a name.
const maxEncoded = 65536

// encodedData returns the registration in a name base64_<length>_<text>_…
func encodedData(name string) ([]byte, bool) {
	rest, ok := strings.CutPrefix(name, encodedPrefix)
	if !ok {
		return nil, false
	}
	length, text, ok := strings.Cut(rest, "_")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 1 || n > maxEncoded || n > len(text) {
		return nil, false
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text[:n], "="))
	return data, err == nil
}

// rewritable reports whether the node of that name may get new data in place.
// Names with a sequence number, and names that carry their data, do not.
func rewritable(name string) bool {
	switch {
	case strings.HasPrefix(name, protectedPrefix):
		return true
	case strings.HasPrefix(name, encodedPrefix):
		return false
	}
	digits := len(name) - len(strings.TrimRight(name, "0123456789"))
	return digits != sequenceDigits
}

// registrationID returns the number at the end of a name, as the original
// finds it: the last part between underscores, if it is all digits.
func registrationID(name string) service.Int {
	name = strings.TrimRight(name, "_")
	last := name[strings.LastIndexByte(name, '_')+1:]
	if last == "" || strings.Trim(last, "0123456789") != "" {
		return service.Int{}
	}
	id, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return service.Int{}
	}
	return service.KnownInt(id)
}

type endpoint struct {
	Host string
	Port json.RawMessage
}

// serverset reads the registrations of Finagle and of Aurora. An empty name
// means the service endpoint.
func serverset(name string) decoder {
	return func(data []byte) (service.Backend, error) {
		if len(data) > service.MaxPayload {
			return service.Backend{}, fmt.Errorf("%d bytes are over the limit of %d", len(data), service.MaxPayload)
		}
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

// unquote returns a JSON number or string as text; null is empty.
func unquote(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
