package file

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/watchers/watchertest"
)

// The path is away, or full of something else, for ten minutes of simulated
// time: nothing is said of fewer backends, the fault is told, and what comes
// later is followed.
func TestTenMinutesWithoutThePath(t *testing.T) {
	payload := func(host string) []byte {
		return service.EncodePayload(service.Backend{Name: host, Host: host, Port: 80})
	}
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	away := func(path string) {
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
	}
	back := func(path string) {
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	list := `[{"name": "a", "host": "10.0.0.1", "port": 80}, {"name": "b", "host": "10.0.0.2", "port": 80}`
	for name, c := range map[string]struct{ prepare, begin, end func(path string) }{
		"directory": {
			prepare: func(path string) {
				if err := os.Mkdir(path, 0o755); err != nil {
					t.Fatal(err)
				}
				write(path+"/a.json", payload("10.0.0.1"))
				write(path+"/b.json", payload("10.0.0.2"))
			},
			begin: away,
			end: func(path string) {
				write(path+".away/c.json", payload("10.0.0.3"))
				back(path)
			},
		},
		"list away": {
			prepare: func(path string) { write(path, []byte(list+"]")) },
			begin:   away,
			end: func(path string) {
				write(path+".away", []byte(list+`, {"name": "c", "host": "10.0.0.3", "port": 80}]`))
				back(path)
			},
		},
		"list cut": {
			prepare: func(path string) { write(path, []byte(list+"]")) },
			begin:   func(path string) { write(path, []byte(list)) },
			end: func(path string) {
				write(path, []byte(list+`, {"name": "c", "host": "10.0.0.3", "port": 80}]`))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "web")
			c.prepare(path)
			synctest.Test(t, func(t *testing.T) {
				w, err := New(Options{Path: path, Interval: config.Seconds(5 * time.Second)}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				watchertest.Outage{Watcher: w, Begin: func() { c.begin(path) }, End: func() { c.end(path) }}.Run(t)
			})
		})
	}
}
