package etcdconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"smartstack/test/servers"
)

func TestTLSWithClientCertificate(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	put(t, admin(t, etcd.Addr), "/s/web/1", "one")
	dir := t.TempDir()
	certFile, keyFile := certificate(t, dir, "ours")
	otherFile, otherKey := certificate(t, dir, "other")
	addr := tlsFront(t, etcd.Addr, certFile, keyFile)

	r := read(t, acquire(t, newPool(), addr, Access{CAFile: certFile, CertFile: certFile, KeyFile: keyFile}), "/s/web", Shared)
	r.until(t, map[string]string{"/s/web/1": "one"})

	for want, access := range map[string]Access{
		"certificate signed by unknown authority": {CAFile: otherFile, CertFile: certFile, KeyFile: keyFile},
		"unknown certificate authority":           {CAFile: certFile, CertFile: otherFile, KeyFile: otherKey},
		"holds no PEM certificate":                {CAFile: keyFile},
		"no such file":                            {CAFile: filepath.Join(dir, "missing")},
	} {
		bad := read(t, acquire(t, newPool(), addr, access), "/s/web", Shared)
		servers.Eventually(t, func() error {
			if f := bad.sub.Fault(); f == nil || !strings.Contains(f.Error(), want) {
				return fmt.Errorf("fault %v, want %s", f, want)
			}
			return nil
		})
	}
}

// certificate writes a self-signed pair that serves as its own authority.
func certificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(file, kind string, data []byte) string {
		file = filepath.Join(dir, file)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write(name+".pem", "CERTIFICATE", der), write(name+"-key.pem", "PRIVATE KEY", keyDER)
}

// tlsFront terminates TLS before a plain server and asks for a certificate.
func tlsFront(t *testing.T, to, certFile, keyFile string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	data, err := os.ReadFile(certFile)
	if err != nil || !authorities.AppendCertsFromPEM(data) {
		t.Fatal("no authority", err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: authorities,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(c, to) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func relay(c net.Conn, to string) {
	defer c.Close()
	if c.(*tls.Conn).Handshake() != nil {
		return
	}
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, c); _ = up.Close() })
	_, _ = io.Copy(c, up)
	_ = c.Close()
	wg.Wait()
}
