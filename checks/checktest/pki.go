package checktest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"smartstack/internal/checkconn"
)

// PKI is a small authority with a certificate for a server on 127.0.0.1 and
// localhost, and one for a client, all in files.
type PKI struct {
	CA             string // PEM file
	Server, Client Pair
}

// Pair names the PEM files of a certificate and its key.
type Pair struct{ Cert, Key string }

// Trust is TLS to a server that the authority vouches for, Full the same with the
// client's own certificate.
func (p PKI) Trust() checkconn.TLS { return checkconn.TLS{On: true, Verify: true, CAFile: p.CA} }

// Full is described with Trust.
func (p PKI) Full() checkconn.TLS {
	tls := p.Trust()
	tls.CertFile, tls.KeyFile = p.Client.Cert, p.Client.Key
	return tls
}

// Load reads the pair.
func (p Pair) Load(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NewPKI makes one in a folder of its own.
func NewPKI(t *testing.T) PKI {
	t.Helper()
	dir := t.TempDir()
	caKey := newKey(t)
	ca := template(1, "an authority of a test")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	p := PKI{CA: filepath.Join(dir, "ca.pem")}
	writePEM(t, p.CA, "CERTIFICATE", der)
	sign := func(serial int64, name string) Pair {
		key := newKey(t)
		leaf := template(serial, name)
		leaf.DNSNames, leaf.IPAddresses = []string{name}, []net.IP{net.IPv4(127, 0, 0, 1)}
		leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pair := Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
		writePEM(t, pair.Cert, "CERTIFICATE", der)
		writePEM(t, pair.Key, "PRIVATE KEY", keyDER)
		return pair
	}
	p.Server, p.Client = sign(2, "localhost"), sign(3, "nerve")
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
