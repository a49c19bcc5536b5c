package dockerconn

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"smartstack/internal/secret"
)

// The bounds of what an engine may say.
const (
	maxAnswer = 16 << 20
	// MaxEvent bounds one line of the stream of events, in bytes.
	MaxEvent = 1 << 20
)

// Dialer opens a connection to an engine.
type Dialer func(ctx context.Context) (net.Conn, error)

// Dial is the Dialer of the configuration. Keep-alive probes end a connection
// whose other side is gone, as the stream of events may be quiet for days.
func (s Server) Dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if s.Socket != "" {
		return d.DialContext(ctx, "unix", s.Socket)
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
}

// API asks one engine. It names no API version: the fields that we read are in
// all of them, and engines refuse versions that they think too old.
type API struct {
	client *http.Client
	base   string
}

// Connect makes the client of an engine, and reads the TLS files. deadline
// bounds every step up to an answer's header.
func Connect(s Server, dial Dialer, deadline time.Duration) (*API, error) {
	conf, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	a := &API{base: "http://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port))}
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

// Close ends the connections that are not in use.
func (a *API) Close() { a.client.CloseIdleConnections() }

// tlsConfig returns nil without TLS.
func (s Server) tlsConfig() (*tls.Config, error) {
	if !s.secure {
		return nil, nil
	}
	return secret.TLSFiles{CA: s.CAFile, Cert: s.CertFile, Key: s.KeyFile}.Config()
}

// ErrGone is an engine's 404.
var ErrGone = errors.New("there is no such container")

// get sends one request; a status other than 200 is an error with what the
// engine says of it.
func (a *API) get(ctx context.Context, path string) (*http.Response, error) {
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
		err = ErrGone
	}
	text := fmt.Sprintf("GET %s: HTTP %d, %.200q", path, res.StatusCode, bytes.TrimSpace(said))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return nil, errors.New(text)
}

// Read gets a whole answer.
func (a *API) Read(ctx context.Context, path string) ([]byte, error) {
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

// Containers lists what runs. What cannot be read of the list is the loss of
// those entries alone.
func (a *API) Containers(ctx context.Context) (good []*Container, bad []Bad, err error) {
	data, err := a.Read(ctx, "/containers/json")
	if err != nil {
		return nil, nil, err
	}
	return ParseList(data)
}

// Origin is what a container was made of, which never changes.
type Origin struct {
	Image string   // the reference that it was started from
	Env   []string // NAME=value
}

// Origin looks one container up; ErrGone tells that it is no more.
func (a *API) Origin(ctx context.Context, id string) (Origin, error) {
	data, err := a.Read(ctx, "/containers/"+url.PathEscape(id)+"/json")
	if err != nil {
		return Origin{}, err
	}
	var c struct{ Config Origin }
	if err := json.Unmarshal(data, &c); err != nil || c.Config.Image == "" {
		return Origin{}, fmt.Errorf("container %.12s: want its configuration with an image, got %.80q", id, data)
	}
	return c.Config, nil
}

// Event is what we read of one line of /events.
type Event struct {
	Type, Action string
	Actor        struct {
		ID         string
		Attributes map[string]string
	}
}

// filters asks for the events that can change which containers run, and where.
const filters = `{"type":["container","network"],"event":["start","die","stop","pause","unpause","rename","destroy","connect","disconnect"]}`

// Events calls opened, then each for every event, until the stream ends. It
// always returns an error.
func (a *API) Events(ctx context.Context, opened func(), each func(Event)) error {
	res, err := a.get(ctx, "/events?filters="+url.QueryEscape(filters))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	opened()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4096), MaxEvent)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e Event
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
