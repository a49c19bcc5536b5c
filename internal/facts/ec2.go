package facts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"
)

// metadata asks EC2's metadata service, by version 2 of its protocol: with a
// token that is asked for first, so that a web service that can be made to call
// addresses does not give the metadata away.
type metadata struct {
	base   string
	off    bool // by AWS_EC2_METADATA_DISABLED
	client *http.Client

	mu    sync.Mutex // many wants ask at a time
	token string
	until time.Time // how long the token is good
}

const (
	usualEndpoint = "http://169.254.169.254"
	tokenTime     = 6 * time.Hour
	maxMetadata   = 16 << 10
)

func newMetadata(getenv func(string) (string, bool)) *metadata {
	m := &metadata{base: usualEndpoint}
	if given, _ := getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"); given != "" {
		m.base = strings.TrimRight(given, "/")
	}
	disabled, _ := getenv("AWS_EC2_METADATA_DISABLED")
	m.off = strings.EqualFold(disabled, "true")
	m.client = &http.Client{
		Transport: &http.Transport{ // without a proxy, which would be another instance
			DialContext:       (&net.Dialer{Timeout: perFind}).DialContext,
			DisableKeepAlives: true, // it is asked rarely
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the metadata do not send their readers elsewhere")
		},
	}
	return m
}

// errStale is the refusal of a token.
var errStale = errors.New("the token is not accepted")

// get returns one value.
func (m *metadata) get(ctx context.Context, path string) (string, error) {
	if m.off {
		return "", errors.New("AWS_EC2_METADATA_DISABLED is set")
	}
	value, err := m.ask(ctx, path)
	if errors.Is(err, errStale) {
		m.mu.Lock()
		m.token = ""
		m.mu.Unlock()
		value, err = m.ask(ctx, path)
	}
	if err != nil {
		return "", err
	}
	if value == "" || strings.ContainsFunc(value, unicode.IsControl) {
		return "", fmt.Errorf("want a value of one line, got %.60q; does the path lead to a list?", value)
	}
	return value, nil
}

func (m *metadata) ask(ctx context.Context, path string) (string, error) {
	token, err := m.current(ctx)
	if err != nil {
		return "", err
	}
	u, err := url.JoinPath(m.base, "latest/meta-data", path)
	if err != nil {
		return "", err
	}
	return m.do(ctx, http.MethodGet, u, "X-aws-ec2-metadata-token", token)
}

// current returns a token that is good for a while yet.
func (m *metadata) current(ctx context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.token != "" && time.Now().Before(m.until) {
		return m.token, nil
	}
	token, err := m.do(ctx, http.MethodPut, m.base+"/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", fmt.Sprint(int(tokenTime.Seconds())))
	if err != nil {
		return "", fmt.Errorf("no token; is this an EC2 instance, and is its hop limit large enough? %w", err)
	}
	m.token, m.until = token, time.Now().Add(tokenTime/2)
	return token, nil
}

func (m *metadata) do(ctx context.Context, method, u, header, value string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, u, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set(header, value)
	res, err := m.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxMetadata+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s %s: the answer is cut: %w", method, u, err)
	case res.StatusCode == http.StatusUnauthorized:
		return "", fmt.Errorf("%s %s: %w", method, u, errStale)
	case res.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("%s %s: the instance has no such value", method, u)
	case res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s %s: HTTP %d", method, u, res.StatusCode)
	case len(data) > maxMetadata:
		return "", fmt.Errorf("%s %s: the answer is over the limit of %d bytes", method, u, maxMetadata)
	}
	return strings.TrimSpace(string(data)), nil
}
