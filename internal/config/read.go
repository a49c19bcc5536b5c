package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"unicode/utf8"
)

// Bounds on a file. They are far above any fleet's files and low enough that a
// hostile one costs a message, not the memory.
const (
	maxBytes   = 16 << 20
	maxDepth   = 100
	maxValues  = 2_000_000
	maxAliased = 500_000 // values that stand in the tree again through aliases
)

// ReadOptions say what a file may ask of its surroundings. The zero value reads
// plain files.
type ReadOptions struct {
	// ERB expands the tags of Ruby's templates first, as synapse does; nerve's
	// files have none.
	ERB bool
	// Names expands {{ .NAME }} by the environment first, as blablacar's nerve
	// does.
	Names bool
	// Getenv is os.LookupEnv, or a test's; nil means no variable is set.
	Getenv func(string) (string, bool)
	// Hostname is os.Hostname, or a test's; nil makes asking for it a fault.
	Hostname func() (string, error)
}

// Read reads and parses the file at path. Its errors are Faults, all that can
// be found, joined.
func Read(path string, o ReadOptions) (*Node, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, Fault{File: path, Msg: err.Error()}
	}
	return Parse(path, data, o)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cannotRead(err)
	}
	defer f.Close()
	// One byte more than allowed, so that Parse sees it is too much.
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, cannotRead(err)
	}
	return data, nil
}

// cannotRead leaves out the path, which the fault has already.
func cannotRead(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot read the file: %w", err)
}

// Parse turns the text of a file into a tree; name stands in the faults. data
// must not be modified afterwards.
func Parse(name string, data []byte, o ReadOptions) (*Node, error) {
	return parseSource(&source{name: name}, data, o)
}

func parseSource(src *source, data []byte, o ReadOptions) (*Node, error) {
	if len(data) > maxBytes {
		return nil, src.fault(place{}, fmt.Sprintf("the file is larger than %d MiB", maxBytes>>20))
	}
	t := newText(src, bytes.TrimPrefix(data, []byte("\ufeff")))
	if bad := invalidUTF8(t.orig); bad >= 0 {
		return nil, src.fault(t.origin(bad), "not UTF-8 text")
	}
	var faults []Fault
	if o.ERB {
		faults = t.expand(o)
	}
	if o.Names {
		t.expandNames(o)
	}
	if len(t.out) > maxBytes {
		return nil, src.fault(place{}, fmt.Sprintf("the file is larger than %d MiB after its templates are expanded", maxBytes>>20))
	}
	n, more := t.parse()
	if faults = append(faults, more...); len(faults) > 0 {
		slices.SortFunc(faults, compareFaults)
		return nil, joinFaults(faults)
	}
	return n, nil
}

// parse chooses the language. Ruby reads everything as YAML; JSON has a reader
// of its own because yaml.v3 refuses some of it and misplaces its faults.
func (t *text) parse() (*Node, []Fault) {
	first, off := firstByte(t.out)
	switch {
	case off == len(t.out):
		return nil, []Fault{t.fault(0, "the file is empty")}
	case first == '/' && off+1 < len(t.out) && (t.out[off+1] == '/' || t.out[off+1] == '*'):
		n, faults, _ := t.parseJSON()
		return n, faults
	case first != '{':
		n, faults, _ := t.parseYAML()
		return n, faults
	}
	n, faults, chance := t.parseJSON()
	if chance == notYAML {
		return n, faults
	}
	n, yamlFaults, slashes := t.parseYAML()
	switch {
	case slashes: // JSON with a comment that YAML took for text
		return nil, faults
	case n == nil && (chance == maybeYAML || !faults[0].before(yamlFaults[0])):
		// Neither reads it: JSON, unless YAML got further.
		return nil, faults
	}
	return n, yamlFaults
}

func invalidUTF8(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
