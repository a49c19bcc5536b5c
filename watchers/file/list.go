package file

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// maxList bounds a file that holds a list, in bytes.
const maxList = 16 << 20

// list is a file with a list of backends.
type list struct {
	path string

	info   fs.FileInfo // as it was read last
	update service.Update
}

// touches: also an event on another name can change the file, when it is
// reached through a symbolic link that is swapped (as Kubernetes does). read
// finds out with one stat.
func (l *list) touches(fsnotify.Event) bool { return true }

func (l *list) expiry() time.Time { return time.Time{} }

func (l *list) read(time.Time) (service.Update, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return service.Update{}, fmt.Errorf("file registry: %w", err)
	}
	if l.info != nil && unchanged(l.info, info) {
		return l.update, nil
	}
	data, err := readFile(l.path, maxList)
	if err != nil {
		return service.Update{}, fmt.Errorf("file registry: %s: %w", l.path, err)
	}
	if len(data) > maxList {
		return service.Update{}, fmt.Errorf("file registry: %s: over the limit of %d bytes", l.path, maxList)
	}
	u, err := parseList(l.path, data)
	if err != nil {
		return service.Update{}, fmt.Errorf("file registry: %w", err)
	}
	l.info, l.update = info, u
	return u, nil
}

// parseList takes the backends of a list. A file that is no list, such as an
// empty or half-written one, is an error; an empty list is an honest answer.
func parseList(name string, data []byte) (service.Update, error) {
	root, err := config.Parse(name, data, config.ReadOptions{})
	if err != nil {
		return service.Update{}, err
	}
	if root.Kind() != config.List {
		return service.Update{}, fmt.Errorf("%s: want a list of backends, got %s", root.Pos(), root.Kind())
	}
	var b service.Builder
	for _, n := range root.Items() {
		b.AddPayload(n.Path(), []byte(n.Canonical()))
	}
	return b.Update(), nil
}
