package checks

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"smartstack/internal/config"
)

var web = Parent{Name: "web", Host: "10.0.0.1", Port: 8080}

func build(t *testing.T, text string) (Built, *config.Report) {
	t.Helper()
	n, err := config.Parse("c.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var r config.Report
	return New(n, web, slog.New(slog.DiscardHandler), &r), &r
}

func TestNew(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Built
	}{
		{`{"type":"tcp"}`, Built{Name: "web tcp-10.0.0.1:8080", Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1}},
		{
			`{"type":"tcp","host":"::1","port":"81","timeout":"0.5","rise":3,"fall":2,"name":"mine"}`,
			Built{Name: "mine", Timeout: 500 * time.Millisecond, Rise: 3, Fall: 2},
		},
		{`{"type":"http","uri":"/health"}`, Built{Name: "http-10.0.0.1:8080/health", Timeout: 300 * time.Millisecond, Rise: 1, Fall: 1}},
		{
			`{"type":"http","uri":"/health","name":"ignored as in the original","port":81,"ssl":true,"read_timeout":1}`,
			Built{Name: "http-10.0.0.1:81/health", Timeout: 1400 * time.Millisecond, Rise: 1, Fall: 1},
		},
		{`{"type":"sql","driver":"postgres","user":"u","dbname":"d","request":"SELECT 2"}`, Built{Name: "web sql-10.0.0.1:8080", Timeout: time.Second, Rise: 1, Fall: 1}},
		{`{"type":"sql","user":"u"}`, Built{Name: "web sql-10.0.0.1:8080", Timeout: time.Second, Rise: 1, Fall: 1}},
		{`{"type":"postgresql","user":"u"}`, Built{Name: "web postgresql-10.0.0.1:8080", Timeout: time.Second, Rise: 1, Fall: 1}},
		{`{"type":"amqp","port":5672}`, Built{Name: "web amqp-10.0.0.1:5672", Timeout: time.Second, Rise: 1, Fall: 1}},
		{`{"type":"redis","db":3}`, Built{Name: "web redis-10.0.0.1:8080", Timeout: 100 * time.Millisecond, Rise: 1, Fall: 1}},
		{`{"type":"noop"}`, Built{Name: "web noop-10.0.0.1:8080", Timeout: time.Second, Rise: 1, Fall: 1}},
		{`{"type":"base","timeout":1}`, Built{Name: "web base-10.0.0.1:8080", Timeout: time.Second, Rise: 1, Fall: 1}},
	} {
		got, r := build(t, tc.text)
		if r.Err() != nil || len(r.Warnings()) > 0 {
			t.Errorf("%s: %v %v", tc.text, r.Err(), r.Warnings())
			continue
		}
		if got.Check == nil {
			t.Errorf("%s: no check", tc.text)
		}
		if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Built{}, "Check")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.text, diff)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`{}`, "\"type\" is required"},
		{`{"type":""}`, `type: "" is no check; want one of all, `},
		{`{"type":"http2"}`, `"http2" is no check; want one of all, any, base, `},
		{`{"type":"http"}`, `"uri" is required`},
		{`{"type":"tcp","rise":0}`, "rise: want at least 1, got 0"},
		{`{"type":"tcp","fall":-1}`, "fall: want at least 1, got -1"},
		{`{"type":"tcp","port":"30x0"}`, "port"},
		{`{"type":"tcp","timeout":0}`, "timeout"},
		{`{"type":"http","uri":"/a b"}`, "uri"},
	} {
		_, r := build(t, tc.text)
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", tc.text, err, tc.want)
		}
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	_, r := build(t, `{"type":"tcp","tiemout":1}`)
	if r.Err() != nil || len(r.Warnings()) != 1 || !strings.Contains(r.Warnings()[0], `did you mean "timeout"?`) {
		t.Errorf("%v %v", r.Err(), r.Warnings())
	}
}

// What says that it is a secret is none where everybody may read it.
func TestOpenSecretsWarn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nerve.json")
	for text, want := range map[string]string{
		`{"type":"http","uri":"/","headers":{"X-Auth-Token":"t","Accept":"*/*"}}`: "headers.X-Auth-Token: everybody",
		`{"type":"grpc","headers":{"authorization":"Bearer t"}}`:                  "headers.authorization: everybody",
		`{"type":"exec","command":["true"],"env":{"PGPASSWORD":"p","A":"b"}}`:     "env.PGPASSWORD: everybody",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, mode := range []os.FileMode{0o600, 0o644} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			n, err := config.Read(path, config.ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var r config.Report
			New(n, web, slog.New(slog.DiscardHandler), &r)
			warnings := strings.Join(r.Warnings(), "\n")
			if r.Err() != nil || mode == 0o600 && warnings != "" || mode == 0o644 && (len(r.Warnings()) != 1 || !strings.Contains(warnings, want)) {
				t.Errorf("%s, mode %o: %v, %s", text, mode, r.Err(), warnings)
			}
		}
	}
}
