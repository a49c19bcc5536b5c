package secret

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSFiles names the PEM files that a client needs besides the authorities of the system. All
// may be empty. Two are the same exactly when they are ==.
type TLSFiles struct {
	CA, Cert, Key string
	// Name is whom the server's certificate must be for, where that is not the
	// host that is called.
	Name string
}

// Check reports what is wrong with f, without I/O.
func (f TLSFiles) Check() error {
	if (f.Cert == "") != (f.Key == "") {
		return errors.New("cert_file and key_file go together: one of them is missing")
	}
	return nil
}

// Config reads the authorities. Our own certificate is read at each handshake,
// so it may be renewed in place. The server that is called must be set, unless
// Name is.
func (f TLSFiles) Config() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.Name}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no PEM certificate", f.CA)
		}
	}
	if f.Cert != "" {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.pair() }
	}
	return conf, nil
}

// Read reports which file cannot be used.
func (f TLSFiles) Read() error {
	_, err := f.Config()
	if err == nil && f.Cert != "" {
		_, err = f.pair()
	}
	return err
}

func (f TLSFiles) pair() (*tls.Certificate, error) {
	if err := Private(f.Key); err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("cert_file, key_file: %w", err)
	}
	return &pair, nil
}
