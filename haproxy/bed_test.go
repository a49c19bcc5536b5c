package haproxy

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is an Output in a scratch folder, with a fake reload and, unless a test
// says otherwise, no check.
type bed struct {
	t        *testing.T
	dir      string
	file     string
	options  Options
	services []ServiceConfig
	out      *Output
	log      strings.Builder

	rev     uint64
	reloads int
	failing error                                                        // what reloads return
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error) // nil = the system's
}

func newBed(t *testing.T, services ...string) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir()}
	b.file = filepath.Join(b.dir, "haproxy.cfg")
	b.options = Options{
		Global:   []string{"maxconn 100"},
		Defaults: []string{"mode http", "timeout connect 1s", "timeout client 5s", "timeout server 5s"},
		DoWrites: true, ConfigFilePath: b.file, DoReloads: true, HAProxyPath: checkOff,
	}
	for _, name := range services {
		b.services = append(b.services, ServiceConfig{Name: name})
	}
	return b
}

// open makes the output anew, as a restart of synapse does.
func (b *bed) open() {
	b.t.Helper()
	b.close()
	deps := Deps{Host: "host", Env: os.Environ(), Lookup: b.lookup, Reload: func(context.Context) error {
		b.reloads++
		return b.failing
	}}
	if b.options.ReloadCommand != "" {
		deps.Reload = nil
	}
	out, err := New(b.options, b.services, deps, slog.New(slog.NewTextHandler(&b.log, nil)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.out = out
	b.t.Cleanup(b.close)
}

func (b *bed) close() {
	if b.out != nil {
		if err := b.out.Close(); err != nil {
			b.t.Error(err)
		}
		b.out = nil
	}
}

// snapshot returns a snapshot in which each service has the backends named by
// their addresses' last parts, as in "web": "1 2".
func (b *bed) snapshot(members map[string]string) service.Snapshot {
	b.rev++
	s := service.Snapshot{Rev: b.rev}
	for _, cfg := range b.services {
		var list []service.Backend
		for n := range strings.FieldsSeq(members[cfg.Name]) {
			host, options, _ := strings.Cut(n, "|")
			list = append(list, service.Backend{Name: "s" + host, Host: "10.0.0." + host, Port: 80, ServerOptions: strings.ReplaceAll(options, "~", " ")})
		}
		s.Services = append(s.Services, &service.Service{
			Name: cfg.Name, Rev: b.rev, Origin: service.Discovered, Backends: service.SetOf(list...),
		})
	}
	return s
}

func (b *bed) apply(s service.Snapshot) time.Duration {
	b.t.Helper()
	again, err := b.out.Apply(b.t.Context(), s)
	if err != nil {
		b.t.Fatal(err)
	}
	return again
}

func (b *bed) read() string {
	b.t.Helper()
	text, err := os.ReadFile(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *bed) wantFile(present, absent string) {
	b.t.Helper()
	text := b.read()
	for s := range strings.FieldsSeq(present) {
		if !strings.Contains(text, "10.0.0."+s+":80") {
			b.t.Errorf("server %s is not in the file:\n%s", s, text)
		}
	}
	for s := range strings.FieldsSeq(absent) {
		if strings.Contains(text, "10.0.0."+s+":80") {
			b.t.Errorf("server %s is in the file:\n%s", s, text)
		}
	}
}

func (b *bed) wantReloads(n int) {
	b.t.Helper()
	if b.reloads != n {
		b.t.Errorf("%d reloads, want %d; status %+v", b.reloads, n, b.out.Status())
	}
}

// pass lets time go by in a synctest bubble.
func pass(d time.Duration) { <-time.After(d) }
