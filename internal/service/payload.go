package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// MaxPayload is the largest registration that is read, in bytes.
const MaxPayload = 64 << 10

// EncodePayload returns b as nerve registers it: compact JSON, the keys in the
// order of the original (host, port, name, then weight,
// haproxy_server_options and labels where they are set), the port a number.
func EncodePayload(b Backend) []byte {
	var out bytes.Buffer
	out.WriteString(`{"host":`)
	writeString(&out, b.Host)
	out.WriteString(`,"port":` + strconv.Itoa(b.Port) + `,"name":`)
	writeString(&out, b.Name)
	if b.Weight.Known {
		out.WriteString(`,"weight":` + strconv.FormatInt(b.Weight.Value, 10))
	}
	if b.ServerOptions != "" {
		out.WriteString(`,"haproxy_server_options":`)
		writeString(&out, b.ServerOptions)
	}
	if b.Labels != "" {
		out.WriteString(`,"labels":` + string(b.Labels))
	}
	out.WriteByte('}')
	return out.Bytes()
}

// writeString writes s as JSON without escaping <, > and &, as Ruby does.
func writeString(out *bytes.Buffer, s string) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)           // a string cannot fail
	out.Truncate(out.Len() - 1) // the encoder's line feed
}

// DecodePayload reads a registration made by nerve, by Airbnb's or by
// blablacar's: the port may be a string, unknown keys are ignored, and a
// backend that says "available": false is an error. The result is not yet
// validated.
func DecodePayload(data []byte) (Backend, error) {
	if len(data) > MaxPayload {
		return Backend{}, fmt.Errorf("%d bytes are over the limit of %d", len(data), MaxPayload)
	}
	var p struct {
		Host, Name *string
		Port       json.RawMessage
		Weight     Int
		Backup     any
		Labels     json.RawMessage
		Available  *bool
		Options    any `json:"haproxy_server_options"`
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return Backend{}, errors.New("is empty")
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Backend{}, fmt.Errorf("is no registration: %w", err)
	}
	if p.Available != nil && !*p.Available {
		return Backend{}, errors.New("is registered as not available")
	}
	if p.Host == nil || *p.Host == "" {
		return Backend{}, errors.New("has no host")
	}
	port, err := decodePort(p.Port)
	if err != nil {
		return Backend{}, err
	}
	b := Backend{Host: *p.Host, Port: port, Weight: p.Weight, Backup: truthy(p.Backup)}
	if p.Name != nil {
		b.Name = *p.Name
	}
	b.ServerOptions, _ = p.Options.(string) // the originals ignore any other type
	if labels := bytes.TrimSpace(p.Labels); len(labels) > 0 && labels[0] == '{' {
		if err := b.Labels.UnmarshalJSON(labels); err != nil {
			return Backend{}, err
		}
	}
	return b, nil
}

// decodePort accepts 80 and "80".
func decodePort(raw json.RawMessage) (int, error) {
	text := string(raw)
	if text == "" || text == "null" {
		return 0, errors.New("has no port")
	}
	if raw[0] == '"' {
		_ = json.Unmarshal(raw, &text) // it was parsed once already
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("port %q is not a number", text)
	}
	return port, nil
}

// truthy follows Ruby: everything but false and null is true.
func truthy(v any) bool {
	b, isBool := v.(bool)
	return v != nil && (!isBool || b)
}
