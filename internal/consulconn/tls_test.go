package consulconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/checks/checktest"
	"smartstack/test/consulfake"
	"smartstack/test/servers"
)

// secure serves the fake by TLS, to those who show a certificate of the same
// authority.
func secure(t *testing.T, a *consulfake.Agent, pki checktest.PKI) string {
	t.Helper()
	authority, err := os.ReadFile(pki.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	web := httptest.NewUnstartedServer(a)
	web.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pki.Server.Load(t)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}
	web.EnableHTTP2 = true // as an agent
	web.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	web.StartTLS()
	t.Cleanup(func() { web.CloseClientConnections(); web.Close() })
	return web.URL
}

// By TLS, with an authority and a certificate of our own, changes come as they
// do without.
func TestTLS(t *testing.T) {
	pki := checktest.NewPKI(t)
	a := consulfake.New()
	a.Token("hush")
	a.Set("web", fleet(1)...)
	access := Access{Token: "hush", CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}
	s := quietPool().Subscribe(target(t, access, secure(t, a, pki)), Health("web", Read{Stale: true}), Pace{}, false)
	defer s.Close()
	await(t, s, instances(1))
	a.Set("web", fleet(2)...)
	await(t, s, instances(2))
}

// By TLS, too, a query holds a connection, and an agent bounds their number.
func TestTLSQueriesTakeTurns(t *testing.T) {
	const services, most = 5, 2
	pki := checktest.NewPKI(t)
	a := consulfake.New()
	access := Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key, MaxConnections: most}
	to, pool := target(t, access, secure(t, a, pki)), quietPool()
	var all []*Subscription
	for i := range services {
		name := fmt.Sprint("s", i)
		a.Set(name, fleet(1)...)
		s := pool.Subscribe(to, Health(name, Read{Stale: true}), Pace{}, false)
		defer s.Close()
		all = append(all, s)
	}
	for _, s := range all {
		await(t, s, instances(1))
	}
	awaitHeld(t, a, most)
	if _, held := a.Held(); held > most {
		t.Errorf("%d queries at one time, want %d at most", held, most)
	}
}

// A CA file that is renewed in place needs no restart.
func TestRenewedCAIsUsed(t *testing.T) {
	pki, strangers := checktest.NewPKI(t), checktest.NewPKI(t)
	a, ca := consulfake.New(), filepath.Join(t.TempDir(), "ca.pem")
	a.Set("web", fleet(1)...)
	renew := func(from string) {
		data, err := os.ReadFile(from)
		if err = errors.Join(err, os.WriteFile(ca, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	renew(strangers.CA)
	access := Access{CAFile: ca, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}
	s := quietPool().Subscribe(target(t, access, secure(t, a, pki)), Health("web", Read{Stale: true}), Pace{}, false)
	defer s.Close()
	servers.Eventually(t, func() error {
		if err := s.Fault(); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			return fmt.Errorf("fault %w", errors.Join(err))
		}
		return nil
	})
	renew(pki.CA)
	await(t, s, instances(1))
}

// What is wrong with certificates is said, and nothing is published.
func TestTLSFaults(t *testing.T) {
	pki, strangers := checktest.NewPKI(t), checktest.NewPKI(t)
	a := consulfake.New()
	a.Set("web", fleet(1)...)
	url := secure(t, a, pki)
	openKey := filepath.Join(t.TempDir(), "open.key")
	data, err := os.ReadFile(pki.Client.Key)
	if err = errors.Join(err, os.WriteFile(openKey, data, 0o600), os.Chmod(openKey, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		access Access
		want   string
	}{
		{Access{CAFile: strangers.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}, "unknown authority"},
		{Access{CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}, "failed to verify"}, // by the authorities of the system
		{Access{CAFile: pki.CA}, "certificate"},                                          // without ours
		{Access{CAFile: pki.CA, CertFile: strangers.Client.Cert, KeyFile: strangers.Client.Key}, "certificate"},
		{Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key, ServerName: "server.dc1.consul"}, "certificate is valid"},
		{Access{CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: openKey}, "chmod 0600"},
		{Access{CAFile: "/missing"}, "ca_file: open /missing:"},
	} {
		s := quietPool().Subscribe(target(t, c.access, url), Health("web", Read{Stale: true}), Pace{}, false)
		servers.Eventually(t, func() error {
			if err := s.Fault(); err == nil || !strings.Contains(err.Error(), c.want) {
				return fmt.Errorf("fault %w, want %q", errors.Join(err), c.want)
			}
			return nil
		})
		if answer, ok := s.Take(); ok {
			t.Errorf("%q: published %+v", c.want, answer)
		}
		s.Close()
	}
}
