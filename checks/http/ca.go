package http

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"
)

// authorities reads a PEM file when it is first needed and when it changes.
type authorities struct {
	path string

	pool *x509.CertPool
	size int64
	at   time.Time
}

func (a *authorities) load() (*x509.CertPool, error) {
	info, err := os.Stat(a.path)
	if err != nil {
		return nil, fmt.Errorf("ssl_ca_file: %w", err)
	}
	if a.pool != nil && info.Size() == a.size && info.ModTime().Equal(a.at) {
		return a.pool, nil
	}
	pem, err := os.ReadFile(a.path)
	if err != nil {
		return nil, fmt.Errorf("ssl_ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ssl_ca_file: %s holds no PEM certificate", a.path)
	}
	a.pool, a.size, a.at = pool, info.Size(), info.ModTime()
	return pool, nil
}
