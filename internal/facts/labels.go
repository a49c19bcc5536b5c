package facts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"unicode/utf8"
)

// The bounds of a directory of labels.
const (
	maxLabels = 100
	maxLabel  = 4 << 10
	// maxReaders are those that read it at the same time: the start or a reload,
	// and the follower.
	maxReaders = 2
)

// labels reads a directory, and waits for that no longer than ctx lasts: a file
// system over a network may hang for ever. Those who hang are left behind, and
// not many are sent after them.
func (f *Finder) labels(ctx context.Context, dir string, read func(dir string) (string, error)) (string, error) {
	counted, _ := f.reading.LoadOrStore(dir, new(atomic.Int32))
	inside := counted.(*atomic.Int32)
	if inside.Add(1) > maxReaders {
		inside.Add(-1)
		return "", errors.New("earlier attempts to read it have not ended yet")
	}
	type answer struct {
		text string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		text, err := read(dir)
		inside.Add(-1)
		done <- answer{text, err}
	}()
	select {
	case a := <-done:
		return a.text, a.err
	case <-ctx.Done():
		return "", fmt.Errorf("reading it takes too long: %w", ctx.Err())
	}
}

// readLabels makes a JSON object of the directory's files: the names are the
// keys, the first lines the values. Hidden files and what editors leave are
// passed over. One file that cannot be read makes the whole unknown: a
// registration with half its labels would be another registration.
func readLabels(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	all := map[string]string{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") || e.IsDir() {
			continue
		}
		if len(all) == maxLabels {
			return "", fmt.Errorf("more than %d files", maxLabels)
		}
		if all[name], err = readLabel(filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(all) // keys in order, so that the same files are the same text
	return string(text), err
}

func readLabel(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for somebody who writes
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file, but %s", path, info.Mode().Type())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxLabel+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxLabel:
		return "", fmt.Errorf("%s is over the limit of %d bytes", path, maxLabel)
	case !utf8.Valid(data):
		return "", fmt.Errorf("%s is no UTF-8 text", path)
	}
	line, _, _ := strings.Cut(strings.TrimLeft(string(data), "\r\n"), "\n")
	return strings.TrimSpace(line), nil
}
