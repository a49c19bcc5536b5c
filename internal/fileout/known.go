package fileout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"smartstack/internal/service"
)

// knownFile is one service of the last-known-good record.
type knownFile struct {
	Service    string                     `json:"service"`
	Backends   []backendFile              `json:"backends"`
	Generators map[string]json.RawMessage `json:"generators,omitempty"`
}

func encodeKnown(s *service.Service) ([]byte, error) {
	return encode(knownFile{Service: s.Name, Backends: list(s), Generators: s.Generators})
}

// Known is the last known good state of one service.
type Known struct {
	Backends   service.Set
	Generators map[string]json.RawMessage
}

// maxKnown bounds one file of the record, in bytes.
const maxKnown = 64 << 20

// ReadLastKnown reads what was recorded of a service in dir. Nothing on record
// is no error.
func ReadLastKnown(dir, service string) (Known, error) {
	root, err := os.OpenRoot(dir)
	if err == nil {
		defer root.Close()
		var k Known
		if k, err = readKnown(root, service); err == nil {
			return k, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Known{}, nil
	}
	return Known{}, fmt.Errorf("last known state of service %s: %w", service, err)
}

func readKnown(root *os.Root, name string) (Known, error) {
	info, err := root.Stat(fileName(name))
	if err != nil {
		return Known{}, err
	}
	if info.Size() > maxKnown {
		return Known{}, fmt.Errorf("%d bytes are over the limit of %d", info.Size(), maxKnown)
	}
	data, err := root.ReadFile(fileName(name))
	if err != nil {
		return Known{}, err
	}
	return decodeKnown(data, name)
}

// decodeKnown checks everything again: the file lies on a disk that others can
// write to.
func decodeKnown(data []byte, name string) (Known, error) {
	var f knownFile
	if err := json.Unmarshal(data, &f); err != nil {
		return Known{}, fmt.Errorf("is damaged: %w", err)
	}
	if f.Service != name {
		return Known{}, fmt.Errorf("is that of service %q", f.Service)
	}
	var backends []service.Backend
	for _, b := range f.Backends {
		backends = append(backends, b.backend())
	}
	for _, b := range backends {
		if err := b.ValidateLocal(); err != nil {
			return Known{}, fmt.Errorf("is damaged: a backend %w", err)
		}
	}
	known := Known{Backends: service.NewSet(slices.Values(backends))}
	if len(f.Generators) > 0 {
		known.Generators = maps.Clone(f.Generators)
	}
	return known, nil
}
