package checkconn

import (
	"fmt"
	"strings"

	"smartstack/internal/secret"
)

// Header is one header of a request.
type Header struct{ Key, Value string }

// HeadersFile are headers in a file of their own, such as authorization. It may
// be used by one goroutine at a time.
type HeadersFile struct {
	path string
	file kept[*[]Header]
	last *[]Header
}

// NewHeadersFile does no I/O.
func NewHeadersFile(path string) *HeadersFile {
	return &HeadersFile{path: path, file: kept[*[]Header]{name: "headers_file"}}
}

// Load returns the headers, and whether they are other ones than at the last
// call. The file is only read when it has changed.
func (f *HeadersFile) Load() (list []Header, fresh bool, err error) {
	now, err := f.file.load(readHeaders, f.path)
	if err != nil {
		return nil, false, err
	}
	fresh, f.last = now != f.last, now
	return *now, fresh, nil
}

// readHeaders reads Name: value, one in a line. Its errors show no value, nor
// what may be one.
func readHeaders(paths ...string) (*[]Header, error) {
	text, err := secret.Read(paths[0])
	if err != nil {
		return nil, err
	}
	var list []Header
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !ValidHeader(key, value) {
			return nil, fmt.Errorf("%s, line %d: want Name: value", paths[0], number)
		}
		list = append(list, Header{key, strings.TrimSpace(value)})
	}
	return &list, nil
}

// ValidHeader keeps a header on its line and its name a name.
func ValidHeader(key, value string) bool {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) &&
		!strings.ContainsFunc(value, control)
}
