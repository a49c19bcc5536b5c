package haproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// configKey stands among a service's servers and holds its haproxy options.
const configKey = "watcher_config_for_generator"

// State is the content of the state file: which servers each service had. The
// order is kept, because the order of server lines derives from it.
type State []ServiceState

// ServiceState is what is remembered of one service.
type ServiceState struct {
	Service string
	Servers []Remembered
	Config  config.JSON // the haproxy options in use; empty = none
}

// Remembered is one server that is, or was, among a service's backends.
type Remembered struct {
	Server  string // its name in HAProxy
	Backend service.Backend
	ID      int       // 0 = none
	Seen    time.Time // when it was there last, to the second
}

// Encode returns the file's content as Ruby's JSON.pretty_generate writes it.
func (s State) Encode() []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, svc := range s {
		writeKey(&out, i, svc.Service)
		out.WriteByte('{')
		for j := range svc.Servers {
			writeKey(&out, j, svc.Servers[j].Server)
			svc.Servers[j].encode(&out)
		}
		if svc.Config != "" {
			writeKey(&out, len(svc.Servers), configKey)
			out.WriteString(string(svc.Config))
		}
		out.WriteByte('}')
	}
	out.WriteByte('}')
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out.Bytes(), "", "  "); err != nil {
		return out.Bytes() // cannot happen: all of it was made by an encoder
	}
	return pretty.Bytes()
}

func (m *Remembered) encode(out *bytes.Buffer) {
	fmt.Fprintf(out, `{"timestamp":%d`, m.Seen.Unix())
	if m.ID > 0 {
		fmt.Fprintf(out, `,"haproxy_server_id":%d`, m.ID)
	}
	b := &m.Backend
	options := any(nil)
	if b.ServerOptions != "" {
		options = b.ServerOptions
	}
	for _, field := range []struct {
		key   string
		value any
	}{
		{"name", b.Name},
		{"host", b.Host},
		{"port", b.Port},
		{"id", b.ID},
		{"weight", b.Weight},
		{"haproxy_server_options", options},
		{"labels", b.Labels},
	} {
		writeKey(out, 1, field.key)
		out.Write(compactJSON(field.value))
	}
	if b.Backup {
		out.WriteString(`,"backup":true`)
	}
	out.WriteByte('}')
}

// writeKey writes the key of the i-th entry of an object.
func writeKey(out *bytes.Buffer, i int, key string) {
	if i > 0 {
		out.WriteByte(',')
	}
	out.Write(compactJSON(key))
	out.WriteByte(':')
}

// compactJSON writes <, > and & as they are, as Ruby does.
func compactJSON(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return []byte("null") // labels that are no JSON, the only value that can fail
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// DecodeState reads a state file, ours or the original's. It takes what it can:
// problems name what was left out, and a file that is no JSON object is empty.
// Servers last seen more than ttl before now are left out silently.
func DecodeState(data []byte, now time.Time, ttl time.Duration) (s State, problems []string) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	services, err := members(data)
	if err != nil {
		return nil, []string{"the state file is no JSON object and is taken as empty: " + err.Error()}
	}
	for _, svc := range services {
		servers, err := members(svc.value)
		if err != nil {
			problems = append(problems, fmt.Sprintf("state of service %.80q: %v", svc.key, err))
			continue
		}
		one := ServiceState{Service: svc.key}
		for _, entry := range servers {
			if entry.key == configKey {
				one.Config = compacted(entry.value)
				continue
			}
			m, err := decodeRemembered(entry)
			switch {
			case err != nil:
				problems = append(problems, fmt.Sprintf("state of service %.80q: server %.80q: %v", svc.key, entry.key, err))
			case now.Sub(m.Seen) <= ttl:
				one.Servers = append(one.Servers, m)
			}
		}
		s = append(s, one)
	}
	return s, problems
}

func decodeRemembered(entry member) (Remembered, error) {
	var extra struct {
		Timestamp json.RawMessage
		ID        service.Int
		ServerID  json.RawMessage `json:"haproxy_server_id"`
	}
	if entry.key != legalName(entry.key) || entry.key == "" {
		return Remembered{}, errors.New("HAProxy takes no such name")
	}
	if err := json.Unmarshal(entry.value, &extra); err != nil {
		return Remembered{}, err
	}
	seen, ok := looseInt(extra.Timestamp)
	if !ok {
		return Remembered{}, errors.New("has no timestamp")
	}
	b, err := service.DecodePayload(entry.value)
	if err != nil {
		return Remembered{}, err
	}
	b.ID = extra.ID
	if err := b.Validate(); err != nil {
		return Remembered{}, err
	}
	id, _ := looseInt(extra.ServerID)
	return Remembered{Server: entry.key, Backend: b, ID: max(0, int(id)), Seen: time.Unix(seen, 0)}, nil
}

// looseInt reads a number, with or without a fraction, or text that is one.
func looseInt(raw json.RawMessage) (int64, bool) {
	v, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || v < -1<<53 || v > 1<<53 {
		return 0, false
	}
	return int64(v), true
}

func compacted(raw json.RawMessage) config.JSON {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return ""
	}
	return config.JSON(out.String())
}

// member is one key of a JSON object.
type member struct {
	key   string
	value json.RawMessage
}

// members returns the members of a JSON object in their order. Of a key that
// stands there twice the last value counts, at the place of the first.
func members(data []byte) ([]member, error) {
	if !json.Valid(data) {
		return nil, errors.New("is no valid JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("is no object")
	}
	var out []member
	at := map[string]int{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if i, twice := at[name]; twice {
			out[i].value = value
			continue
		}
		at[name] = len(out)
		out = append(out, member{key: name, value: value})
	}
	return out, nil
}
