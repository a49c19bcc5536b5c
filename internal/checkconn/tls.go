package checkconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"smartstack/internal/secret"
)

// TLS are the options of checks that may speak TLS.
type TLS struct {
	On         bool   `cfg:"ssl" default:"false" doc:"Speak TLS."`
	Verify     bool   `cfg:"ssl_verify" default:"true" doc:"Verify the target's certificate."`
	CAFile     string `cfg:"ssl_ca_file" doc:"PEM file with the authorities that ssl_verify trusts; the system's when absent."`
	CertFile   string `cfg:"ssl_cert_file" doc:"PEM file with our certificate, for targets that ask for one; it may be renewed in place."`
	KeyFile    string `cfg:"ssl_key_file" doc:"PEM file with the key of our certificate. It must not be readable for everybody."`
	ServerName string `cfg:"ssl_server_name" doc:"Name to ask for and to verify in TLS; the host when absent."`
}

// build checks the options; the result is nil without ssl.
func (o TLS) build(t Target) (*secure, error) {
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("ssl_cert_file and ssl_key_file belong together, one of them is missing")
	}
	if !o.On {
		return nil, nil
	}
	if o.ServerName == "" {
		o.ServerName = t.host()
	}
	if o.Verify && o.ServerName == "" {
		return nil, errors.New("ssl_server_name: needed to verify the certificate of a unix socket's server")
	}
	return &secure{o: o, ca: kept[*x509.CertPool]{name: "ssl_ca_file"}, cert: kept[*tls.Certificate]{name: "ssl_cert_file"}}, nil
}

// secure makes TLS settings, and reads files only when they have changed.
type secure struct {
	o    TLS
	ca   kept[*x509.CertPool]
	cert kept[*tls.Certificate]
}

// config returns the settings of the next handshake.
func (s *secure) config(protocols []string) (*tls.Config, error) {
	// #nosec G402: without ssl_verify the certificate is not looked at, as its documentation says.
	c := &tls.Config{InsecureSkipVerify: !s.o.Verify, ServerName: s.o.ServerName, NextProtos: protocols}
	var err error
	if s.o.Verify && s.o.CAFile != "" {
		if c.RootCAs, err = s.ca.load(readPool, s.o.CAFile); err != nil {
			return nil, err
		}
	}
	if s.o.CertFile != "" {
		cert, err := s.cert.load(readPair, s.o.CertFile, s.o.KeyFile)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{*cert}
	}
	return c, nil
}

// TLSConfig returns the settings for libraries that speak TLS themselves; nil
// without ssl.
func (d *Dialer) TLSConfig() (*tls.Config, error) {
	if d.tls == nil {
		return nil, nil
	}
	return d.tls.config(nil)
}

// Secured tells whether the options ask for TLS.
func (d *Dialer) Secured() bool { return d.tls != nil }

// Secure makes the TLS handshake on a plain connection, which is closed when
// that fails. protocols are offered by ALPN.
func (d *Dialer) Secure(ctx context.Context, plain *Conn, protocols ...string) (*Conn, error) {
	cfg, err := d.tls.config(protocols)
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	secured := tls.Client(plain.Conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, Ended(ctx, fmt.Errorf("TLS handshake: %w", err))
	}
	return &Conn{Conn: secured, forget: plain.forget, left: plain.left}, nil
}

// kept is what was made of files, until one of them changes.
type kept[T any] struct {
	name  string // the option, for messages
	value T
	known []stamp
}

type stamp struct {
	size int64
	at   time.Time
}

func (k *kept[T]) load(read func(paths ...string) (T, error), paths ...string) (T, error) {
	var none T
	now := make([]stamp, len(paths))
	same := len(k.known) == len(paths)
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return none, fmt.Errorf("%s: %w", k.name, err)
		}
		now[i] = stamp{info.Size(), info.ModTime()}
		same = same && k.known[i].size == now[i].size && k.known[i].at.Equal(now[i].at)
	}
	if same {
		return k.value, nil
	}
	value, err := read(paths...)
	if err != nil {
		return none, fmt.Errorf("%s: %w", k.name, err)
	}
	k.value, k.known = value, now
	return value, nil
}

func readPool(paths ...string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(paths[0])
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", paths[0])
	}
	return pool, nil
}

func readPair(paths ...string) (*tls.Certificate, error) {
	if err := secret.Private(paths[1]); err != nil {
		return nil, fmt.Errorf("ssl_key_file: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(paths[0], paths[1])
	return &cert, err
}
