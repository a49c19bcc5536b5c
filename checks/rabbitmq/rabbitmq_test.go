package rabbitmq

import (
	"log/slog"
	"strconv"
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
	if o.Username == "" {
		o.Username = "guest"
	}
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNode does everything with one node, as a start takes seconds.
func TestNode(t *testing.T) {
	pki := checktest.NewPKI(t)
	secured := servers.FreePort(t)
	node := servers.RabbitMQ(t, strings.Join([]string{
		"listeners.ssl.1 = 127.0.0.1:" + strconv.Itoa(secured),
		"ssl_options.cacertfile = " + pki.CA,
		"ssl_options.certfile = " + pki.Server.Cert,
		"ssl_options.keyfile = " + pki.Server.Key,
		"ssl_options.verify = verify_peer",
		"ssl_options.fail_if_no_peer_cert = true",
	}, "\n"))
	t.Run("contract", func(t *testing.T) {
		checktest.Run(t, checktest.Subject{
			New: func(t *testing.T, target checkconn.Target) service.Check {
				return build(t, Options{Target: target})
			},
			Healthy: node.Addr,
		})
	})
	plain := checktest.Target(node.Addr)
	tls := checkconn.Target{Host: "127.0.0.1", Port: secured}
	queue := func(name string) config.Optional[string] { return config.Optional[string]{Value: name, Set: true} }
	for _, tc := range []struct {
		name string
		o    Options
		want string // in the reason; empty = healthy
	}{
		{"wrong password", Options{Target: plain, Password: checkconn.Password{Text: "x"}}, "logging in: "},
		{"no such user", Options{Target: plain, Username: "nobody"}, "logging in: "},
		{"no such host", Options{Target: plain, Vhost: "none"}, "logging in: "},
		{"password file missing", Options{Target: plain, Password: checkconn.Password{File: "/none"}}, "password_file"},
		{"another queue", Options{Target: plain, Queue: queue("mine")}, ""},
		{"a queue that is refused", Options{Target: plain, Queue: queue("amq.mine")}, `declaring the queue "amq.mine": `},
		{"no queue", Options{Target: plain, Queue: queue("")}, ""},
		{"TLS with our certificate", Options{Target: tls, TLS: pki.Full()}, ""},
		{"TLS without our certificate", Options{Target: tls, TLS: pki.Trust()}, "logging in: "},
		{"plain where TLS is spoken", Options{Target: tls}, "logging in: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
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

func TestDefaults(t *testing.T) {
	c := build(t, Options{Target: checkconn.Target{Host: "h", Port: 1}})
	if c.queue != "nerve" || c.o.Vhost != "/" || c.o.Password.Text != "guest" {
		t.Errorf("%+v", c)
	}
}
