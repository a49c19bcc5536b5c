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
// haproxy_server_options, labels and our own decided_at where they are set),
// the port a number.
func EncodePayload(b Backend) []byte { return Registration{Backend: b}.Payload() }

// Payload returns what is registered. An exposed registration begins with
// available and, when it is not, unavailable_reason, as blablacar's nerve has
// them.
func (r Registration) Payload() []byte {
	b := r.Backend
	var out bytes.Buffer
	out.WriteByte('{')
	if r.Exposed {
		out.WriteString(`"available":` + strconv.FormatBool(r.Reason == "") + `,`)
	}
	if r.Exposed && r.Reason != "" {
		out.WriteString(`"unavailable_reason":`)
		writeString(&out, r.Reason)
		out.WriteByte(',')
	}
	out.WriteString(`"host":`)
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
	if b.Decided != 0 {
		out.WriteString(`,"decided_at":` + strconv.FormatInt(b.Decided, 10))
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
		Why        any `json:"unavailable_reason"`
		Options    any `json:"haproxy_server_options"`
		Decided    Int `json:"decided_at"`
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return Backend{}, errors.New("is empty")
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Backend{}, fmt.Errorf("is no registration: %w", err)
	}
	if p.Available != nil && !*p.Available {
		if why, ok := p.Why.(string); ok && why != "" {
			return Backend{}, fmt.Errorf("is registered as not available: %.200s", why)
		}
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
	if p.Decided.Value > 0 {
		b.Decided = p.Decided.Value
	}
	if labels := bytes.TrimSpace(p.Labels); len(labels) > 0 && labels[0] == '{' {
		if err := b.Labels.UnmarshalJSON(labels); err != nil {
			return Backend{}, err
		}
	}
	return b, nil
}

// SamePayload reports whether two registrations say the same of the same
// backend, whenever that was decided.
func SamePayload(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, errX := DecodePayload(a)
	y, errY := DecodePayload(b)
	x.Decided, y.Decided = 0, 0
	return errX == nil && errY == nil && x == y
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
