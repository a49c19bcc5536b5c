package redis

import (
	"bufio"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/secret"
	"smartstack/internal/service"
	"smartstack/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, o Options) *Check {
	t.Helper()
	o.Timeout, o.Key = 1, "nerve-redis-service-check" // the contexts of the tests bound the time
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContract(t *testing.T) {
	server := servers.Redis(t)
	checktest.Run(t, checktest.Subject{
		New: func(t *testing.T, target checkconn.Target) service.Check {
			return build(t, Options{Target: target})
		},
		Healthy: server.Addr,
		Socket:  filepath.Join(server.Dir, "redis.sock"),
	})
}

func TestPassword(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "users.acl")
	file := filepath.Join(t.TempDir(), "password")
	write(t, acl, "user default on >secret ~* &* +@all\nuser nerve on >other ~nerve* &* +ping +exists\nuser blind on >other ~* &* +ping\n")
	write(t, file, "secret\n")
	server := servers.Redis(t, "--aclfile", acl)
	for _, tc := range []struct {
		user, password, file string
		want                 string
	}{
		{"", "", "", "NOAUTH"},
		{"", "wrong", "", "WRONGPASS"},
		{"", "secret", "", ""},
		{"", "", file, ""},
		{"", "", file + "x", "password_file"},
		{"nerve", "other", "", ""},
		{"nerve", "secret", "", "WRONGPASS"},
		{"blind", "other", "", "NOPERM"},
	} {
		o := Options{Target: checktest.Target(server.Addr), Username: tc.user, Password: checkconn.Password{Text: secret.Text(tc.password), File: tc.file}}
		checktest.WantEnd(t, build(t, o), tc.want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	pki := checktest.NewPKI(t)
	server := servers.RedisTLS(t, pki.Server.Cert, pki.Server.Key, pki.CA)
	target := checktest.Target(server.Addr)
	for _, tc := range []struct {
		name string
		tls  checkconn.TLS
		want string
	}{
		{"trusted, with our certificate", pki.Full(), ""},
		{"without our certificate", pki.Trust(), "PING"},
		{"not trusted", checkconn.TLS{On: true, Verify: true, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}, "certificate"},
		{"not verified", checkconn.TLS{On: true, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key}, ""},
		{"another name", checkconn.TLS{On: true, Verify: true, CAFile: pki.CA, CertFile: pki.Client.Cert, KeyFile: pki.Client.Key, ServerName: "example.org"}, "example.org"},
		{"plain", checkconn.TLS{}, "reading the answer to PING"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checktest.WantEnd(t, build(t, Options{Target: target, TLS: tc.tls}), tc.want)
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"port":          {Timeout: 1},
		"timeout":       {Target: checkconn.Target{Host: "h", Port: 1}},
		"username":      {Target: checkconn.Target{Host: "h", Port: 1}, Timeout: 1, Username: "u"},
		"password_file": {Target: checkconn.Target{Host: "h", Port: 1}, Timeout: 1, Password: checkconn.Password{Text: "a", File: "b"}},
		"ssl_cert_file": {Target: checkconn.Target{Host: "h", Port: 1}, Timeout: 1, TLS: checkconn.TLS{CertFile: "a"}},
	} {
		_, err := New(o, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}

func TestCommand(t *testing.T) {
	if got := string(command([]string{"AUTH", "a b\r\n"})); got != "*2\r\n$4\r\nAUTH\r\n$5\r\na b\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

// FuzzAnswer feeds the reader what a hostile target may send.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("+PONG\r\n"))
	f.Add([]byte("-ERR no\r\n:1\r\n"))
	f.Add([]byte("$99999999999\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		line, err := readLine(bufio.NewReaderSize(strings.NewReader(string(data)), maxLine))
		if err == nil && (len(line) > maxLine || strings.HasSuffix(line, "\n")) {
			t.Errorf("line %q", line)
		}
	})
}
