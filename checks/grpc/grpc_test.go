package grpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"smartstack/checks/checktest"
	"smartstack/internal/checkconn"
	"smartstack/internal/config"
	"smartstack/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T, o Options) *Check {
	t.Helper()
	o.Timeout = 1 // the contexts of the tests bound the time
	c, err := New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a server on network and address; without health it offers none.
func serve(t *testing.T, network, addr string, h *health.Server, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	if h != nil {
		grpc_health_v1.RegisterHealthServer(s, h)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func TestContract(t *testing.T) {
	h := health.NewServer()
	sock := filepath.Join(t.TempDir(), "s")
	serve(t, "unix", sock, h)
	checktest.Run(t, checktest.Subject{
		New: func(t *testing.T, target checkconn.Target) service.Check {
			return build(t, Options{Target: target})
		},
		Healthy: serve(t, "tcp", "127.0.0.1:0", h),
		Socket:  sock,
	})
}

func TestStatus(t *testing.T) {
	h := health.NewServer()
	h.SetServingStatus("shop.Basket", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("shop.Till", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	target := checktest.Target(serve(t, "tcp", "127.0.0.1:0", h))
	checktest.WantEnd(t, build(t, Options{Target: target}), "")
	checktest.WantEnd(t, build(t, Options{Target: target, Service: "shop.Basket"}), "")
	checktest.WantEnd(t, build(t, Options{Target: target, Service: "shop.Till"}), `"shop.Till" says NOT_SERVING`)
	checktest.WantEnd(t, build(t, Options{Target: target, Service: "none"}), `does not know the service "none"`)
	h.Shutdown()
	checktest.WantEnd(t, build(t, Options{Target: target}), "NOT_SERVING")
	checktest.WantEnd(t, build(t, Options{Target: checktest.Target(serve(t, "tcp", "127.0.0.1:0", nil))}), "does not offer grpc.health.v1")
}

func TestMetadata(t *testing.T) {
	guard := grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer x" {
			return nil, status.Error(codes.Unauthenticated, "who are you?")
		}
		return handler(ctx, req)
	})
	target := checktest.Target(serve(t, "tcp", "127.0.0.1:0", health.NewServer(), guard))
	checktest.WantEnd(t, build(t, Options{Target: target}), `Unauthenticated: "who are you?"`)
	checktest.WantEnd(t, build(t, Options{Target: target, Metadata: config.Map[string]{{Key: "Authorization", Value: "Bearer x"}}}), "")

	file := filepath.Join(t.TempDir(), "headers")
	if err := os.WriteFile(file, []byte("Authorization: Bearer y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := build(t, Options{Target: target, File: file})
	checktest.WantEnd(t, c, "Unauthenticated")
	if err := os.WriteFile(file, []byte("x-more: 1\nAuthorization: Bearer x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	checktest.WantEnd(t, c, "")
}

func TestTLS(t *testing.T) {
	pki := checktest.NewPKI(t)
	pem, err := os.ReadFile(pki.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	creds := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pki.Server.Load(t)}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	target := checktest.Target(serve(t, "tcp", "127.0.0.1:0", health.NewServer(), grpc.Creds(creds)))
	full := pki.Full()
	checktest.WantEnd(t, build(t, Options{Target: target, TLS: full}), "")
	full.ServerName = "example.org"
	checktest.WantEnd(t, build(t, Options{Target: target, TLS: full}), "example.org")
	checktest.WantEnd(t, build(t, Options{Target: target, TLS: checkconn.TLS{On: true}}), "the server answers Unavailable")
	checktest.WantEnd(t, build(t, Options{Target: target}), "the server answers Unavailable")
	plain := checktest.Target(serve(t, "tcp", "127.0.0.1:0", health.NewServer()))
	checktest.WantEnd(t, build(t, Options{Target: plain, TLS: checkconn.TLS{On: true}}), "TLS handshake")
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		"port":    {Timeout: 1},
		"timeout": {Target: checkconn.Target{Host: "h", Port: 1}},
		`headers: "authorization" is no valid header`: {
			Timeout: 1, Target: checkconn.Target{Host: "h", Port: 1}, Metadata: config.Map[string]{{Key: "authorization", Value: "pa55word\n"}},
		},
	} {
		if _, err := New(o, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55word") {
			t.Errorf("%+v: got %v, want %q in it", o, err, want)
		}
	}
}
