package marathonconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"smartstack/internal/httpconn"
	"smartstack/internal/secret"
)

// The limits of one request.
const (
	requestLimit = 10 * time.Second // a whole answer; the stream: its header
	maxBody      = 64 << 20         // bytes
	maxHops      = 4                // redirects
)

// client speaks HTTP to one Marathon. It may be used from any goroutine.
type client struct {
	*httpconn.Client
	target Target
}

// newClient reads the CA file and makes no connection.
func newClient(t Target, dial httpconn.Dialer) (*client, error) {
	c, err := httpconn.New(t.list(), maxFlying, dial, secret.TLSFiles{CA: t.caFile}.Config)
	if err != nil {
		return nil, err
	}
	return &client{c, t}, nil
}

// open sends a GET and returns the answer of status 200 with the wanted media
// type, after redirects. The caller closes its body.
func (c *client) open(ctx context.Context, address, accept string) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, &Fault{Call: "GET", Err: err}
	}
	withheld := false
	for range maxHops + 1 {
		var res *http.Response
		var sent bool
		if res, sent, err = c.send(ctx, u, accept); err != nil {
			return nil, &Fault{Call: "GET " + u.Redacted(), Err: err}
		}
		withheld = withheld || !sent
		next, err := redirect(res)
		if err != nil || next == nil {
			if err == nil {
				err = check(res, accept, withheld)
			}
			if err != nil {
				drain(res)
				return nil, &Fault{Call: "GET " + u.Redacted(), Status: res.StatusCode, Err: err}
			}
			return res, nil
		}
		drain(res)
		u = next
	}
	return nil, &Fault{Call: "GET " + address, Err: fmt.Errorf("more than %d redirects", maxHops)}
}

// send makes one request. sent tells whether it carried the credentials, if
// there are any.
func (c *client) send(ctx context.Context, u *url.URL, accept string) (res *http.Response, sent bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, false, err
	}
	req.Header.Set("Accept", accept) // Marathon compares it as a whole for the stream
	if accept == mediaStream {
		req.Header.Set("Accept-Encoding", "identity")
	}
	sent = true
	if c.target.hasCredentials() {
		if sent = c.target.trusts(u); sent {
			user, password, token, err := c.target.credentials()
			switch {
			case err != nil:
				return nil, false, err
			case token != "":
				req.Header.Set("Authorization", "token="+token)
			default:
				req.SetBasicAuth(user, password)
			}
		}
	}
	res, err = c.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the call is named by our caller
	}
	return res, sent, err
}

// redirect returns where res leads, nil when it does not.
func redirect(res *http.Response) (*url.URL, error) {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	u, err := res.Location()
	if err != nil {
		return nil, fmt.Errorf("a redirect that leads nowhere: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("a redirect to %q", u.Redacted())
	}
	u.User = nil
	return u, nil
}

// The media types that are asked for.
const (
	mediaJSON   = "application/json"
	mediaStream = "text/event-stream"
)

// check tells what is wrong with an answer's header.
func check(res *http.Response, accept string, withheld bool) error {
	if res.StatusCode != http.StatusOK {
		words, json := message(res)
		err := fmt.Errorf("HTTP status %d%s", res.StatusCode, words)
		if !json {
			err = fmt.Errorf("%w, %w", err, errForeign)
		}
		if withheld && (res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden) {
			err = fmt.Errorf("%w; a redirect led to %s, which is not configured and so did not get the credentials: add it to trusted_hosts", err, res.Request.URL.Host)
		}
		return err
	}
	given := res.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	switch {
	case given == "" && accept == mediaJSON: // not a lie; the body will tell
		return nil
	case err == nil && media == accept, err == nil && accept == mediaJSON && strings.HasSuffix(media, "+json"):
		return nil
	}
	return badAnswer("is %.60q, want %s; is this Marathon, or a page of a proxy?", given, accept)
}

// message returns Marathon's own words about a refusal, and whether they have
// the form in which it speaks.
func message(res *http.Response) (words string, json bool) {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	text, json := decodeMessage(body)
	if text != "" {
		words = fmt.Sprintf(": %.200q", text)
	}
	return words, json
}

// errForeign marks a refusal that Marathon would word otherwise: a proxy on the
// way does not know what apps there are.
var errForeign = errors.New("and no JSON: is this a page of a proxy?")

// drain ends an answer whose rest nobody reads, so that a short one leaves its
// connection usable.
func drain(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 16<<10)
	res.Body.Close()
}

// get reads one whole JSON answer.
func (c *client) get(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	res, err := c.open(ctx, address, mediaJSON)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = badAnswer("is longer than %d bytes", maxBody)
	}
	if err != nil {
		return nil, &Fault{Call: "GET " + address, Err: fmt.Errorf("reading the answer: %w", err)}
	}
	return body, nil
}
