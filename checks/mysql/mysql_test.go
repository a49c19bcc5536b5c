package mysql

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, o Options) *Check {
	t.Helper()
	o.Timeout = 1 // the contexts of the tests bound the time
	if o.Query == "" {
		o.Query = "SELECT 1"
	}
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const users = `CREATE USER nerve@'%' IDENTIFIED BY 'secret';
CREATE USER open@'%';
CREATE USER secure@'%' IDENTIFIED BY 'secret' REQUIRE X509;
CREATE DATABASE shop;
GRANT SELECT ON shop.* TO nerve@'%';
`

// TestServer does everything with one server, as a start takes a second or two.
func TestServer(t *testing.T) {
	pki := checktest.NewPKI(t)
	server := servers.MariaDB(t, users, "--ssl-cert="+pki.Server.Cert, "--ssl-key="+pki.Server.Key, "--ssl-ca="+pki.CA)
	where := checktest.Target(server.Addr)
	t.Run("contract", func(t *testing.T) {
		checktest.Run(t, checktest.Subject{
			New: func(t *testing.T, target checkconn.Target) service.Check {
				return build(t, Options{Target: target, Username: "nerve", Password: checkconn.Password{Text: "secret"}})
			},
			Healthy: server.Addr,
			Socket:  filepath.Join(server.Dir, "mariadb.sock"),
		})
	})
	secret := checkconn.Password{Text: "secret"}
	is := func(text string) config.Optional[string] { return config.Optional[string]{Value: text, Set: true} }
	for _, tc := range []struct {
		name string
		o    Options
		want string // in the reason; empty = healthy
	}{
		{"no password needed", Options{Username: "open"}, ""},
		{"wrong password", Options{Username: "nerve", Password: checkconn.Password{Text: "x"}}, "Access denied"},
		{"no such user", Options{Username: "nobody", Password: secret}, "Access denied"},
		{"password file missing", Options{Username: "nerve", Password: checkconn.Password{File: "/none"}}, "password_file"},
		{"database", Options{Username: "nerve", Password: secret, Database: "shop"}, ""},
		{"no such database", Options{Username: "nerve", Password: secret, Database: "none"}, "logging in: "},
		{"bad question", Options{Username: "nerve", Password: secret, Query: "SELEC 1"}, "SELEC 1: "},
		{"as expected", Options{Username: "nerve", Password: secret, Query: "SELECT @@read_only, 7", Expect: is("0")}, ""},
		{"text as expected", Options{Username: "nerve", Password: secret, Query: "SELECT 'a b'", Expect: is("a b")}, ""},
		{"nothing as expected", Options{Username: "nerve", Password: secret, Query: "SELECT NULL", Expect: is("NULL")}, ""},
		{"not as expected", Options{Username: "nerve", Password: secret, Query: "SELECT @@read_only", Expect: is("1")}, `"0", want "1"`},
		{"no row", Options{Username: "nerve", Password: secret, Query: "SELECT 1 WHERE FALSE", Expect: is("1")}, "no row"},
		{"no row, nothing expected", Options{Username: "nerve", Password: secret, Query: "SELECT 1 WHERE FALSE"}, ""},
		{"no rows at all", Options{Username: "nerve", Password: secret, Query: "DO 1"}, ""},
		{"endless rows", Options{Username: "nerve", Password: secret, Query: "SELECT REPEAT('x', 3000000)"}, "SELECT REPEAT"},
		{"TLS", Options{Username: "nerve", Password: secret, TLS: pki.Trust()}, ""},
		{"TLS, our certificate", Options{Username: "secure", Password: secret, TLS: pki.Full()}, ""},
		{"TLS, our certificate missing", Options{Username: "secure", Password: secret, TLS: pki.Trust()}, "Access denied"},
		{"TLS, not trusted", Options{Username: "nerve", Password: secret, TLS: checkconn.TLS{On: true, Verify: true}}, "certificate"},
		{"TLS, not verified", Options{Username: "nerve", Password: secret, TLS: checkconn.TLS{On: true}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Target = where
			checktest.WantEnd(t, build(t, tc.o), tc.want)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"port":          {Timeout: 1},
		"timeout":       {Target: checkconn.Target{Host: "h", Port: 1}},
		"password_file": {Target: checkconn.Target{Host: "h", Port: 1}, Timeout: 1, Password: checkconn.Password{Text: "a", File: "b"}},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}
