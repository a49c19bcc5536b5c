package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Int is an integer that may be unknown, as a JSON null is. The zero value is
// unknown.
type Int struct {
	Value int64
	Known bool
}

// KnownInt returns the known integer v.
func KnownInt(v int64) Int { return Int{Value: v, Known: true} }

// MarshalJSON writes the number, or null when it is unknown.
func (i Int) MarshalJSON() ([]byte, error) {
	if !i.Known {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, i.Value, 10), nil
}

// UnmarshalJSON accepts an integer; null and every other value leave i
// unknown, because the originals ignore a weight that is no integer.
func (i *Int) UnmarshalJSON(data []byte) error {
	*i = Int{}
	if v, err := strconv.ParseInt(string(data), 10, 64); err == nil {
		*i = KnownInt(v)
	}
	return nil
}

// Labels is a JSON object in compact form, as it was registered; empty means
// that there are none. It is text rather than a map so that a Backend can be
// compared with ==, and so that the order of the keys survives.
type Labels string

// Map decodes the labels; nil when there are none.
func (l Labels) Map() map[string]any {
	if l == "" {
		return nil
	}
	var m map[string]any
	if json.Unmarshal([]byte(l), &m) != nil {
		return nil
	}
	return m
}

// MarshalJSON writes the object, or null when there are no labels.
func (l Labels) MarshalJSON() ([]byte, error) {
	if l == "" {
		return []byte("null"), nil
	}
	return []byte(l), nil
}

// UnmarshalJSON accepts an object, and null for none.
func (l *Labels) UnmarshalJSON(data []byte) error {
	*l = ""
	if string(data) == "null" {
		return nil
	}
	if len(data) == 0 || data[0] != '{' {
		return errors.New("labels are no JSON object")
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	*l = Labels(compact.String())
	return nil
}

// Backend is one server of a service, as its registry or the configuration
// describes it. Backends are values: two are the same exactly when they are ==.
type Backend struct {
	Name          string // instance name; may be empty
	Host          string // host name, IPv4 or IPv6 address without brackets
	Port          int    // 1 to 65535
	ID            Int    // order of registration; the leader has the smallest
	Weight        Int    // HAProxy weight; negative values never occur
	ServerID      int    // HAProxy server id asked for by the configuration; 0 = choose
	ServerOptions string // words for the HAProxy server line
	Backup        bool   // serves only while no normal backend is up
	Labels        Labels
	// Decided is when nerve decided that the backend serves as described, in
	// Unix milliseconds by its host's clock; 0 = it does not tell.
	Decided int64
}

// Address returns host:port, with brackets around an IPv6 address.
func (b Backend) Address() string {
	return net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
}

// key is what makes a backend unique within a Set.
type key struct {
	host, name string
	port       int
}

func (b Backend) key() key { return key{host: b.Host, name: b.Name, port: b.Port} }
