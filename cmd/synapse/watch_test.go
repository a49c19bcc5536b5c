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
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	none := func(string) (string, bool) { return "", false }
	go func() { done <- run(ctx, []string{"-c", config}, none, io.Discard, io.Discard) }()
	defer func() { cancel(); <-done }()

	const text = `{"discovery": {"method": "base"}, "default_servers": [{"name": "a", "host": "10.0.0.1", "port": 80}], "haproxy": {"port": 3213}}`
	want := func(port string) {
		t.Helper()
		servers.Eventually(t, func() error {
			data, err := os.ReadFile(filepath.Join(out, "web.json"))
			if err != nil || !strings.Contains(string(data), `"port":`+port) {
				return fmt.Errorf("%s, %v, want port %s", data, err, port)
			}
			return nil
		})
	}
	web := filepath.Join(services, "web.json")
	write(web, text)
	want("80")
	write(web, text[:60])
	write(web, strings.Replace(text, ": 80", ": 81", 1))
	want("81")
}
