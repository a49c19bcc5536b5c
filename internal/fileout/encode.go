package fileout

import (
	"bytes"
	"encoding/json"

	"smartstack/internal/service"
)

// backendFile is a backend as the original's file_output writes it: these keys
// in this order, nulls kept.
type backendFile struct {
	Name          *string        `json:"name"`
	Host          string         `json:"host"`
	Port          int            `json:"port"`
	ID            service.Int    `json:"id"`
	Weight        service.Int    `json:"weight"`
	ServerOptions *string        `json:"haproxy_server_options"`
	Labels        service.Labels `json:"labels"`
	Backup        bool           `json:"backup,omitempty"`
	ServerID      int            `json:"haproxy_server_id,omitempty"`
}

func toFile(b service.Backend) backendFile {
	f := backendFile{
		Host: b.Host, Port: b.Port, ID: b.ID, Weight: b.Weight, Labels: b.Labels, Backup: b.Backup, ServerID: b.ServerID,
	}
	if b.Name != "" {
		f.Name = &b.Name
	}
	if b.ServerOptions != "" {
		f.ServerOptions = &b.ServerOptions
	}
	return f
}

func (f backendFile) backend() service.Backend {
	b := service.Backend{
		Host: f.Host, Port: f.Port, ID: f.ID, Weight: f.Weight, Labels: f.Labels, Backup: f.Backup, ServerID: f.ServerID,
	}
	if f.Name != nil {
		b.Name = *f.Name
	}
	if f.ServerOptions != nil {
		b.ServerOptions = *f.ServerOptions
	}
	return b
}

// encodeBackends returns the compact JSON list of a service's backends.
func encodeBackends(s *service.Service) ([]byte, error) { return encode(list(s)) }

func list(s *service.Service) []backendFile {
	files := make([]backendFile, 0, s.Backends.Len())
	for b := range s.Backends.All() {
		files = append(files, toFile(b))
	}
	return files
}

// encode writes JSON without escaping <, > and &, as Ruby does.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}
