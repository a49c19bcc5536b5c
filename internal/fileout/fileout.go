// Package fileout is the output that writes one JSON file per service: the
// file_output of the original, for programs that read backends from disk, and
// the last-known-good record from which synapse itself starts when its
// registries are silent. The cost of a change is one file.
//
//	out := fileout.New(fileout.Options{OutputDirectory: "/var/run/synapse"}, nil, log)
//	again, err := out.Apply(ctx, snapshot)
package fileout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"smartstack/internal/atomicfile"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

// Options is the top-level section file_output.
type Options struct {
	OutputDirectory string `cfg:"output_directory,required" doc:"Directory that gets one JSON file per service; it is made when it is not there. Every other *.json in it is removed when the services change."`
}

// ValidateEach is called by the decoder.
func (o *Options) ValidateEach(n *config.Node, r *config.Report) {
	if o.OutputDirectory == "" {
		r.Fault(n.Get("output_directory"), "is empty; want a directory")
	}
}

// ServiceOptions is the section file_output of a service.
type ServiceOptions struct {
	Disabled bool `cfg:"disabled" default:"no" doc:"Write no file for this service."`
}

// Output keeps one directory of files equal to the snapshot. It is used by one
// goroutine.
type Output struct {
	name     string
	dir      string
	disabled map[string]bool // services that get no file
	encode   func(*service.Service) ([]byte, error)
	options  atomicfile.Options
	burst    int // files that one Apply may write; 0 = any number
	log      *slog.Logger

	root     *os.Root
	services []*service.Service // of the last snapshot
	shown    []*service.Service // what the file of each shows; nil = there may be none
	tidied   bool               // nobody else has a file
}

// New makes the output for other programs' use. disabled names the services
// that get no file. It does no I/O.
func New(o Options, disabled map[string]bool, log *slog.Logger) *Output {
	return &Output{
		name: "file_output", dir: o.OutputDirectory, disabled: disabled, encode: encodeBackends, log: log,
		options: atomicfile.Options{NoSync: true},
	}
}

// NewLastKnown makes the output that keeps the last known good state in dir,
// for ReadLastKnown. It does no I/O.
func NewLastKnown(dir string, log *slog.Logger) *Output {
	return &Output{
		name: "last_known", dir: dir, encode: encodeKnown, log: log,
		options: atomicfile.Options{NoSync: true}, burst: knownBurst,
	}
}

// The record of the last known state is written beside the file that HAProxy
// waits for, so what comes at once, as at the start, is spread over a second or
// so: the record is for the next start.
const (
	knownBurst = 50
	knownPause = 50 * time.Millisecond
)

// Name returns the output's name in logs.
func (o *Output) Name() string { return o.name }

// Apply writes the files of services that changed since the last call and
// removes those of services that are gone. It asks to be called again for what
// the burst left.
func (o *Output) Apply(_ context.Context, s service.Snapshot) (again time.Duration, err error) {
	if err := o.open(); err != nil {
		return 0, err
	}
	shown, same := service.Rematch(o.services, o.shown, s.Services)
	o.services, o.shown, o.tidied = s.Services, shown, o.tidied && same
	var errs []error
	visits := 0
	for i, svc := range s.Services {
		if o.shown[i] == svc {
			continue
		}
		if o.disabled[svc.Name] || svc.Origin == service.Unknown {
			continue // an unknown service keeps the file that it has
		}
		if visits++; o.burst > 0 && visits > o.burst {
			continue
		}
		if err := o.write(svc); err != nil {
			errs = append(errs, err)
			continue
		}
		o.shown[i] = svc
	}
	if !o.tidied {
		if err := o.removeOthers(); err != nil {
			return 0, errors.Join(append(errs, err)...)
		}
		o.tidied = true
	}
	if o.burst > 0 && visits > o.burst {
		again = knownPause
	}
	return again, errors.Join(errs...)
}

// open makes and opens the directory. A directory that was removed or replaced
// under us is noticed here, and everything is written again.
func (o *Output) open() error {
	if o.root != nil {
		held, err1 := o.root.Stat(".")
		there, err2 := os.Stat(o.dir)
		if err1 == nil && err2 == nil && os.SameFile(held, there) {
			return nil
		}
		_ = o.root.Close()
		o.root = nil
		clear(o.shown)
		o.tidied = false
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("%s directory: %w", o.name, err)
	}
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return fmt.Errorf("%s directory: %w", o.name, err)
	}
	o.root = root
	return nil
}

// write replaces a service's file if it does not hold the right text already.
func (o *Output) write(svc *service.Service) error {
	data, err := o.encode(svc)
	if err != nil {
		return fmt.Errorf("%s of service %s: %w", o.name, svc.Name, err)
	}
	name := fileName(svc.Name)
	if old, err := o.root.ReadFile(name); err == nil && string(old) == string(data) {
		return nil
	}
	if err := atomicfile.Write(o.root, name, data, 0o644, o.options); err != nil {
		return fmt.Errorf("%s of service %s: %w", o.name, svc.Name, err)
	}
	return nil
}

// removeOthers deletes the *.json files that are no service's.
func (o *Output) removeOthers() error {
	wanted := make(map[string]bool, len(o.services))
	for _, svc := range o.services {
		if !o.disabled[svc.Name] {
			wanted[fileName(svc.Name)] = true
		}
	}
	entries, err := fs.ReadDir(o.root.FS(), ".")
	if err != nil {
		return fmt.Errorf("%s directory: %w", o.name, err)
	}
	var errs []error
	for _, e := range entries {
		name := e.Name()
		if wanted[name] || filepath.Ext(name) != ".json" || strings.HasPrefix(name, ".") || e.IsDir() {
			continue
		}
		o.log.Info("removing the file of a service that is not configured", "file", filepath.Join(o.dir, name))
		if err := o.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", o.name, err))
		}
	}
	return errors.Join(errs...)
}

var escapes = strings.NewReplacer("%", "%25", "/", "%2F", "\x00", "%00")

// fileName returns the file of a service. A name that is no plain file name is
// escaped, reversibly.
func fileName(name string) string {
	escaped := escapes.Replace(name)
	if strings.HasPrefix(escaped, ".") {
		escaped = "%2E" + escaped[1:]
	}
	return escaped + ".json"
}
