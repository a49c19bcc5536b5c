package facts

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// The bounds of a directory of labels.
const (
	maxLabels = 100
	maxLabel  = 4 << 10
)

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
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file: %w", path, err)
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
