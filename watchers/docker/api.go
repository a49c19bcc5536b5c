package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// The bounds of what an engine may say.
const (
	maxAnswer = 16 << 20
	maxEvent  = 1 << 20
)

// dialer opens a connection to an engine.
type dialer func(ctx context.Context) (net.Conn, error)

// dial is the dialer of the configuration. Keep-alive probes end a connection
// whose other side is gone, as the stream of events may be quiet for days.
func (s Server) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if s.Socket != "" {
		return d.DialContext(ctx, "unix", s.Socket)
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
}

// api asks one engine. It names no API version: the fields that we read are in
// all of them, and engines refuse versions that they think too old.
type api struct {
	client *http.Client
	base   string
}

// connect makes the client of an engine, and reads the TLS files. deadline
// bounds every step up to an answer's header.
func connect(s Server, dial dialer, deadline time.Duration) (*api, error) {
	conf, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	a := &api{base: "http://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))}
	switch {
	case s.Socket != "":
		a.base = "http://docker"
	case conf != nil:
		a.base = "https://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	}
	a.client = &http.Client{
		Transport: &http.Transport{ // without a proxy: it would come from the environment
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				ctx, cancel := context.WithTimeout(ctx, deadline)
				defer cancel()
				return dial(ctx)
			},
			TLSClientConfig: conf, TLSHandshakeTimeout: deadline, ResponseHeaderTimeout: deadline,
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("an engine does not send its clients elsewhere")
		},
	}
	return a, nil
}

func (a *api) close() { a.client.CloseIdleConnections() }

// tlsConfig returns nil without TLS.
func (s Server) tlsConfig() (*tls.Config, error) {
	if !s.secure {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no PEM certificate", s.CAFile)
		}
	}
	if s.CertFile != "" {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("cert_file, key_file: %w", err)
			}
			return &pair, nil
		}
	}
	return conf, nil
}

// errGone is an engine's 404.
var errGone = errors.New("there is no such container")

// get sends one request; a status other than 200 is an error with what the
// engine says of it.
func (a *api) get(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(res.Body, 400)) // the status is the news
	if res.StatusCode == http.StatusNotFound {
		err = errGone
	}
	text := fmt.Sprintf("GET %s: HTTP %d, %.200q", path, res.StatusCode, bytes.TrimSpace(said))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return nil, errors.New(text)
}

// read is get of a whole answer.
func (a *api) read(ctx context.Context, path string) ([]byte, error) {
	res, err := a.get(ctx, path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: the answer is cut: %w", path, err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("GET %s: the answer is over the limit of %d bytes", path, maxAnswer)
	}
	return data, nil
}

// containers lists what runs.
func (a *api) containers(ctx context.Context) ([]*container, []entry, error) {
	data, err := a.read(ctx, "/containers/json")
	if err != nil {
		return nil, nil, err
	}
	return parseList(data)
}

// image returns the reference that a container was started from.
func (a *api) image(ctx context.Context, id string) (string, error) {
	data, err := a.read(ctx, "/containers/"+url.PathEscape(id)+"/json")
	if err != nil {
		return "", err
	}
	var c struct{ Config struct{ Image string } }
	if err := json.Unmarshal(data, &c); err != nil || c.Config.Image == "" {
		return "", fmt.Errorf("container %.12s: want its configuration with an image, got %.80q", id, data)
	}
	return c.Config.Image, nil
}

// event is what we read of one line of /events.
type event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
}

// filters asks for the events that can change which containers run, and where.
const filters = `{"type":["container","network"],"event":["start","die","stop","pause","unpause","rename","destroy","connect","disconnect"]}`

// events calls opened, then each for every event, until the stream ends. It
// always returns an error.
func (a *api) events(ctx context.Context, opened func(), each func(event)) error {
	res, err := a.get(ctx, "/events?filters="+url.QueryEscape(filters))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	opened()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4096), maxEvent)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("an event cannot be read: %.80q: %w", lines.Bytes(), err)
		}
		each(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream of events broke: %w", err)
	}
	return errors.New("the stream of events ended")
}
