package awsconn

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// role asks STS for the credentials of a role. The call is made here, as the
// library's client for STS would add 0.4 MB to the program for two operations.
type role struct {
	conf   aws.Config // region and client
	place  string     // of STS
	form   url.Values
	source aws.CredentialsProvider // signs the call; nil = a web identity, whose token is enough
	token  string                  // of a web identity: its file
}

// assumeRole turns the credentials of source into those of the profile's role.
func (c chain) assumeRole(name string, p section, source aws.CredentialsProvider) (aws.CredentialsProvider, error) {
	form := roleForm("AssumeRole", p["role_arn"], p["role_session_name"])
	if id := p["external_id"]; id != "" {
		form.Set("ExternalId", id)
	}
	if seconds := p["duration_seconds"]; seconds != "" {
		if _, err := strconv.ParseUint(seconds, 10, 32); err != nil {
			return nil, fmt.Errorf("the AWS profile %q: duration_seconds: want a number of seconds, got %q", name, seconds)
		}
		form.Set("DurationSeconds", seconds)
	}
	return &role{conf: c.conf, place: c.sts(), form: form, source: cached(source)}, nil
}

// webIdentity turns a token in a file, which others renew, into a role.
func (c chain) webIdentity(arn, session, file string) (aws.CredentialsProvider, error) {
	if arn == "" {
		return nil, errors.New("a web identity's token (AWS_WEB_IDENTITY_TOKEN_FILE, web_identity_token_file) needs a role: set AWS_ROLE_ARN, or role_arn in the profile")
	}
	return &role{conf: c.conf, place: c.sts(), form: roleForm("AssumeRoleWithWebIdentity", arn, session), token: file}, nil
}

func roleForm(action, arn, session string) url.Values {
	session = cmp.Or(session, "smartstack-"+strconv.FormatInt(time.Now().UnixNano(), 10)) // as the library does
	return url.Values{"Action": {action}, "Version": {"2011-06-15"}, "RoleArn": {arn}, "RoleSessionName": {session}}
}

// Retrieve asks once; the cache around it decides when.
func (r *role) Retrieve(ctx context.Context) (aws.Credentials, error) {
	got, err := r.ask(ctx)
	if err != nil {
		return got, fmt.Errorf("%s of %s at %s: %w", r.form.Get("Action"), r.form.Get("RoleArn"), r.place, err)
	}
	return got, nil
}

func (r *role) ask(ctx context.Context) (none aws.Credentials, err error) {
	req, err := r.request(ctx)
	if err != nil {
		return none, err
	}
	resp, err := r.conf.HTTPClient.Do(req)
	if err != nil {
		return none, err
	}
	defer resp.Body.Close()
	const limit = 1 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return none, err
	}
	return readRole(resp.StatusCode, body)
}

func (r *role) request(ctx context.Context) (*http.Request, error) {
	form := maps.Clone(r.form)
	if r.token != "" {
		token, err := os.ReadFile(r.token) // each time: it is renewed
		if err != nil {
			return nil, fmt.Errorf("the token of the web identity: %w", err)
		}
		form.Set("WebIdentityToken", string(token))
	}
	body := []byte(form.Encode())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.place, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if r.source == nil {
		return req, nil
	}
	keys, err := r.source.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	return req, v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(hash[:]), "sts", r.conf.Region, time.Now())
}

// readRole reads the answer of STS. Anything but whole credentials is an error.
func readRole(status int, body []byte) (aws.Credentials, error) {
	type keys struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      time.Time
	}
	var a struct {
		Assumed keys   `xml:"AssumeRoleResult>Credentials"`
		Web     keys   `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	err := xml.Unmarshal(body, &a)
	k := cmp.Or(a.Assumed, a.Web)
	switch {
	case a.Code != "":
		const limit = 300
		return aws.Credentials{}, fmt.Errorf("%s: %s", a.Code, strings.ToValidUTF8(a.Message[:min(len(a.Message), limit)], ""))
	case status != http.StatusOK:
		return aws.Credentials{}, fmt.Errorf("HTTP status %d without an error from STS", status)
	case err != nil:
		return aws.Credentials{}, fmt.Errorf("not an answer of STS: %w", err)
	case k.AccessKeyID == "" || k.SecretAccessKey == "" || k.SessionToken == "" || k.Expiration.IsZero():
		return aws.Credentials{}, errors.New("an answer without credentials")
	}
	return aws.Credentials{
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		Source: "STS", CanExpire: true, Expires: k.Expiration,
	}, nil
}

// sts is where roles are asked for.
func (c chain) sts() string {
	domain := "amazonaws.com"
	if strings.HasPrefix(c.conf.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return cmp.Or(c.settings.endpoint("STS"), "https://sts."+c.conf.Region+"."+domain)
}
