package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// With reload_on_change a service's file that comes, changes or is half written
// is dealt with as at a HUP.
func TestReloadOnChange(t *testing.T) {
	dir := t.TempDir()
	services, out, config := filepath.Join(dir, "services"), filepath.Join(dir, "out"), filepath.Join(dir, "synapse.json")
	for _, d := range []string{services, out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config, fmt.Sprintf(`{"reload_on_change": true, "service_conf_dir": %q, "file_output": {"output_directory": %q}}`, services, out))
	const text = `{"discovery": {"method": "base"}, "default_servers": [{"name": "a", "host": "10.0.0.1", "port": 80}], "haproxy": {"port": 3213}}`
	write(filepath.Join(services, "first.json"), text)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	none := func(string) (string, bool) { return "", false }
	go func() { done <- run(ctx, []string{"-c", config}, none, io.Discard, io.Discard) }()
	defer func() { cancel(); <-done }()

	want := func(name, port string) {
		t.Helper()
		servers.Eventually(t, func() error {
			data, err := os.ReadFile(filepath.Join(out, name+".json"))
			if err != nil || !strings.Contains(string(data), `"port":`+port) {
				return fmt.Errorf("%s, %v, want port %s", data, err, port)
			}
			return nil
		})
	}
	want("first", "80") // a file that is half written while synapse starts would keep it from starting
	web := filepath.Join(services, "web.json")
	write(web, text)
	want("web", "80")
	write(web, text[:60])
	write(web, strings.Replace(text, ": 80", ": 81", 1))
	want("web", "81")
}
