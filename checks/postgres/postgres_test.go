package postgres

import (
	"io"
	"log/slog"
	"net"
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
	if o.Database == "" {
		o.Database = "postgres"
	}
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	roles = `SET password_encryption = 'scram-sha-256'; CREATE ROLE nerve LOGIN PASSWORD 'secret';
SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'secret';
SET password_encryption = 'scram-sha-256'; CREATE ROLE clear LOGIN PASSWORD 'secret';
CREATE ROLE open LOGIN;
CREATE ROLE secure LOGIN;
CREATE ROLE kerberos LOGIN;
`
	hba = `local   all nerve                scram-sha-256
host    all open   127.0.0.1/32 trust
host    all nerve  127.0.0.1/32 scram-sha-256
host    all old    127.0.0.1/32 md5
host    all clear  127.0.0.1/32 password
hostssl all secure 127.0.0.1/32 trust clientcert=verify-ca
`
)

// TestServer does everything with one server, as a start takes a second or two.
func TestServer(t *testing.T) {
	pki := checktest.NewPKI(t)
	files := map[string]string{"server.pem": pki.Server.Cert, "server.key": pki.Server.Key, "ca.pem": pki.CA}
	server := servers.PostgreSQL(t, hba, roles, files,
		"ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key", "ssl_ca_file=ca.pem")
	where := checktest.Target(server.Addr)
	secret := checkconn.Password{Text: "secret"}
	t.Run("contract", func(t *testing.T) {
		_, port, _ := strings.Cut(server.Addr, ":")
		checktest.Run(t, checktest.Subject{
			New: func(t *testing.T, target checkconn.Target) service.Check {
				return build(t, Options{Target: target, Username: "nerve", Password: secret})
			},
			Healthy: server.Addr,
			Socket:  server.Dir + "/.s.PGSQL." + port,
		})
	})
	is := func(text string) config.Optional[string] { return config.Optional[string]{Value: text, Set: true} }
	for _, tc := range []struct {
		name string
		o    Options
		want string // in the reason; empty = healthy
	}{
		{"no password needed", Options{Username: "open"}, ""},
		{"SCRAM", Options{Username: "nerve", Password: secret}, ""},
		{"MD5", Options{Username: "old", Password: secret}, ""},
		{"as it is", Options{Username: "clear", Password: secret}, ""},
		{"SCRAM, wrong password", Options{Username: "nerve", Password: checkconn.Password{Text: "x"}}, "password authentication failed"},
		{"MD5, wrong password", Options{Username: "old", Password: checkconn.Password{Text: "x"}}, "password authentication failed"},
		{"no password given", Options{Username: "nerve"}, "wants a password"},
		{"password file missing", Options{Username: "nerve", Password: checkconn.Password{File: "/none"}}, "password_file"},
		{"not let in", Options{Username: "kerberos", Password: secret}, "no pg_hba.conf entry"},
		{"no such database", Options{Username: "open", Database: "none"}, `database \"none\" does not exist`},
		{"bad question", Options{Username: "open", Query: "SELEC 1"}, "syntax error"},
		{"as expected", Options{Username: "open", Query: "SELECT pg_is_in_recovery(), 7", Expect: is("f")}, ""},
		{"nothing as expected", Options{Username: "open", Query: "SELECT NULL", Expect: is("NULL")}, ""},
		{"not as expected", Options{Username: "open", Query: "SELECT 1", Expect: is("2")}, `"1", want "2"`},
		{"no row", Options{Username: "open", Query: "SELECT 1 WHERE FALSE", Expect: is("1")}, "no row"},
		{"no columns", Options{Username: "open", Query: "SELECT", Expect: is("")}, ""},
		{"no answer at all", Options{Username: "open", Query: ""}, ""},
		{"several rows", Options{Username: "open", Query: "SELECT * FROM generate_series(1, 3)", Expect: is("1")}, ""},
		{"endless rows", Options{Username: "open", Query: "SELECT * FROM generate_series(1, 300000)"}, "more than"},
		{"one long row", Options{Username: "open", Query: "SELECT repeat('x', 3000000)"}, "a message begins with"},
		{"copy", Options{Username: "open", Query: "COPY (SELECT 1) TO STDOUT"}, "kind 'H'"},
		{"TLS", Options{Username: "nerve", Password: secret, TLS: pki.Trust()}, ""},
		{"TLS, our certificate", Options{Username: "secure", TLS: pki.Full()}, ""},
		{"TLS, our certificate missing", Options{Username: "secure", TLS: pki.Trust()}, "certificate"},
		{"TLS missing", Options{Username: "secure"}, "no pg_hba.conf entry"},
		{"TLS, not trusted", Options{Username: "open", TLS: checkconn.TLS{On: true, Verify: true}}, "certificate"},
		{"TLS, not verified", Options{Username: "open", TLS: checkconn.TLS{On: true}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.Target = where
			checktest.WantEnd(t, build(t, tc.o), tc.want)
		})
	}
}

// A server that offers no TLS must not get the password in the plain.
func TestNoTLSOffered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	heard := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			heard <- err.Error()
			return
		}
		defer c.Close()
		first := make([]byte, 8)
		_, _ = io.ReadFull(c, first)
		_, _ = c.Write([]byte("N"))
		rest, _ := io.ReadAll(c)
		heard <- string(first) + string(rest)
	}()
	o := Options{Target: checktest.Target(l.Addr().String()), Username: "nerve", Password: checkconn.Password{Text: "secret"}, TLS: checkconn.TLS{On: true}}
	if err := build(t, o).Check(t.Context()); err == nil || !strings.Contains(err.Error(), `offers no TLS, but answers "N"`) {
		t.Error(err)
	}
	if got := <-heard; got != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
		t.Errorf("heard %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	at := checkconn.Target{Host: "h", Port: 1}
	for want, o := range map[string]Options{
		"port":            {Timeout: 1},
		"timeout":         {Target: at},
		"password_file":   {Target: at, Timeout: 1, Password: checkconn.Password{Text: "a", File: "b"}},
		"query: holds":    {Target: at, Timeout: 1, Query: "a\x00b"},
		"over a unix soc": {Target: checkconn.Target{Socket: "/s"}, Timeout: 1, TLS: checkconn.TLS{On: true}},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}
