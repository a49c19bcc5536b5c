package fileout

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// On a full disk the last good file stays, other services get theirs, and the
// next call after there is room again writes what was missed.
func TestNoRoom(t *testing.T) {
	servers.Alone(t, func(t *testing.T) {
		for name, output := range map[string]func(dir string) *Output{
			"file_output": func(dir string) *Output { return New(Options{OutputDirectory: dir}, nil, discard) },
			"last_known":  func(dir string) *Output { return NewLastKnown(dir, discard) },
		} {
			noRoom(t, name, output(t.TempDir()))
		}
	})
}

func noRoom(t *testing.T, name string, o *Output) {
	read := func(service string) string {
		data, _ := os.ReadFile(filepath.Join(o.dir, service+".json"))
		return string(data)
	}
	large := svc("large", many(1)...)
	apply(t, o, large)
	before := read("large")

	restore := servers.LimitFiles(t, 1000)
	grown := svc("large", many(100)...)
	next := service.Snapshot{Services: []*service.Service{grown, svc("small", many(1)...)}}
	_, err := o.Apply(t.Context(), next)
	if err == nil || !strings.Contains(err.Error(), name+" of service large") || !strings.Contains(err.Error(), "file too large") {
		t.Errorf("%s: error %v", name, err)
	}
	if got := read("large"); got != before {
		t.Errorf("%s: the last good file is gone, now: %.80s", name, got)
	}
	if read("small") == "" {
		t.Errorf("%s: another service lacks its file", name)
	}
	restore()
	if _, err := o.Apply(t.Context(), next); err != nil {
		t.Errorf("%s: with room again: %v", name, err)
	}
	if got := read("large"); !strings.Contains(got, "h99") {
		t.Errorf("%s: not written: %.80s", name, got)
	}
	if left, _ := filepath.Glob(filepath.Join(o.dir, "*", "*")); len(left) > 0 {
		t.Errorf("%s: left behind: %v", name, left)
	}
}

func many(n int) []service.Backend {
	var list []service.Backend
	for i := range n {
		list = append(list, service.Backend{Name: "n", Host: fmt.Sprintf("h%d", i), Port: 1})
	}
	return list
}
