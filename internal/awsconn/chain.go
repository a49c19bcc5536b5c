package awsconn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// renewBefore is how long before their end credentials are renewed, for one
// half at random.
const renewBefore = 5 * time.Minute

// cached keeps credentials until they run out, and may be used by many
// goroutines.
func cached(p aws.CredentialsProvider) aws.CredentialsProvider {
	return aws.NewCredentialsCache(p, func(o *aws.CredentialsCacheOptions) {
		o.ExpiryWindow, o.ExpiryWindowJitterFrac = renewBefore, 0.5
	})
}

// chain looks for credentials.
type chain struct {
	conf     aws.Config // all but credentials and endpoint
	settings settings
}

// find decides where credentials come from. It asks nobody yet.
func (c chain) find(ctx context.Context, o Options) (aws.CredentialsProvider, error) {
	if o.KeyID != "" {
		return credentials.NewStaticCredentialsProvider(o.KeyID, o.Secret, o.Token), nil
	}
	if keys, ok := c.environment(); ok {
		return keys, nil
	}
	if file := c.settings.env("AWS_WEB_IDENTITY_TOKEN_FILE"); file != "" {
		return c.webIdentity(c.settings.env("AWS_ROLE_ARN"), c.settings.env("AWS_ROLE_SESSION_NAME"), file)
	}
	return c.fromProfile(ctx, c.settings.name, nil)
}

func (c chain) environment() (aws.CredentialsProvider, bool) {
	id := cmp.Or(c.settings.env("AWS_ACCESS_KEY_ID"), c.settings.env("AWS_ACCESS_KEY"))
	secret := cmp.Or(c.settings.env("AWS_SECRET_ACCESS_KEY"), c.settings.env("AWS_SECRET_KEY"))
	return credentials.NewStaticCredentialsProvider(id, secret, c.settings.env("AWS_SESSION_TOKEN")), id != "" && secret != ""
}

// fromProfile follows a profile, and the ones that it names as its source, to
// credentials; one that says nothing leads to container or instance. above are
// the profiles that named this one.
func (c chain) fromProfile(ctx context.Context, name string, above []string) (aws.CredentialsProvider, error) {
	p := c.settings.sections[name]
	if p == nil && len(above) > 0 {
		return nil, fmt.Errorf("the AWS profile %q: source_profile: there is no profile %q", above[len(above)-1], name)
	}
	ways := 0
	for _, key := range []string{"source_profile", "credential_source", "credential_process", "web_identity_token_file"} {
		if p[key] != "" {
			ways++
		}
	}
	if ways > 1 {
		return nil, fmt.Errorf("the AWS profile %q: want one of source_profile, credential_source, credential_process and web_identity_token_file, got %d", name, ways)
	}
	found, err := c.source(ctx, name, p, above)
	if err != nil || p["role_arn"] == "" || p["web_identity_token_file"] != "" {
		return found, err
	}
	if p["mfa_serial"] != "" {
		return nil, refused(name, "mfa_serial", "a role that needs a second factor")
	}
	return c.assumeRole(name, p, found)
}

// source is where the profile has its credentials from, before it changes
// them for those of a role.
func (c chain) source(ctx context.Context, name string, p section, above []string) (aws.CredentialsProvider, error) {
	hasKeys := p[keyID] != "" && p[keySecret] != ""
	next := p["source_profile"]
	switch {
	case hasKeys && (next == "" || next == name || len(above) > 0):
		return credentials.NewStaticCredentialsProvider(p[keyID], p[keySecret], p[keyToken]), nil
	case next != "" && (next == name || slices.Contains(above, next)):
		return nil, fmt.Errorf("the AWS profile %q: source_profile leads back to %q, and nowhere are keys", name, next)
	case next != "":
		return c.fromProfile(ctx, next, append(above, name))
	case p["credential_source"] != "":
		return c.named(ctx, name, p["credential_source"])
	case p["web_identity_token_file"] != "":
		return c.webIdentity(p["role_arn"], p["role_session_name"], p["web_identity_token_file"])
	case p["credential_process"] != "" && !browser(p):
		return processcreds.NewProvider(p["credential_process"]), nil
	case browser(p):
		return nil, refused(name, "sso_… or login_session", "a login by browser")
	case c.settings.env(relativeURI) != "" || c.settings.env(fullURI) != "":
		return c.container(ctx)
	}
	return c.instance(), nil
}

// browser tells whether the profile is for a person.
func browser(p section) bool {
	return cmp.Or(p["sso_session"], p["sso_account_id"], p["sso_role_name"], p["sso_start_url"], p["login_session"]) != ""
}

// named is credential_source.
func (c chain) named(ctx context.Context, name, source string) (aws.CredentialsProvider, error) {
	switch source {
	case "Ec2InstanceMetadata":
		return c.instance(), nil
	case "Environment":
		if keys, ok := c.environment(); ok {
			return keys, nil
		}
		return nil, fmt.Errorf("the AWS profile %q: credential_source is Environment, but AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set", name)
	case "EcsContainer":
		return c.container(ctx)
	}
	return nil, fmt.Errorf("the AWS profile %q: credential_source: want Ec2InstanceMetadata, EcsContainer or Environment, got %q", name, source)
}

func refused(name, key, what string) error {
	return fmt.Errorf("the AWS profile %q has %s: %s is not supported by a program that runs alone; use keys, role_arn, web_identity_token_file or credential_process, or let AWS_PROFILE name another profile", name, key, what)
}

// instance is the role of the host.
func (c chain) instance() aws.CredentialsProvider {
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = imds.NewFromConfig(c.conf) })
}

const (
	relativeURI = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
	fullURI     = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
	ecsHost     = "http://169.254.170.2" // answers to relative paths
)

// container is the role that ECS or EKS gives to a container.
func (c chain) container(ctx context.Context) (aws.CredentialsProvider, error) {
	place := c.settings.env(fullURI)
	switch relative := c.settings.env(relativeURI); {
	case relative != "":
		place = ecsHost + relative
	case place == "":
		return nil, errors.New("neither " + relativeURI + " nor " + fullURI + " is set")
	default:
		if err := mayAsk(ctx, place); err != nil {
			return nil, fmt.Errorf("%s: %w", fullURI, err)
		}
	}
	file := c.settings.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	return endpointcreds.New(place, func(o *endpointcreds.Options) {
		o.HTTPClient, o.AuthorizationToken = c.conf.HTTPClient, c.settings.env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if file != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := os.ReadFile(file) // each time: it is renewed
				if err != nil {
					return "", fmt.Errorf("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: %w", err)
				}
				return string(token), nil
			})
		}
	}), nil
}

// mayAsk refuses to ask for credentials, and to send the token, without
// encryption to another host than this one or those that ECS and EKS use.
func mayAsk(ctx context.Context, place string) error {
	u, err := url.Parse(place)
	if err != nil {
		return err
	}
	if u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("want the URL of a host, got %q", place)
	}
	if u.Scheme == "https" {
		return nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return err
	}
	for _, a := range found {
		if a = a.Unmap(); !a.IsLoopback() && !slices.Contains(containerHosts, a) {
			return fmt.Errorf("%s is at %s: without https only this host and those of ECS and EKS may be asked", u.Hostname(), a)
		}
	}
	return nil
}

// containerHosts are where ECS and EKS answer.
var containerHosts = []netip.Addr{
	netip.MustParseAddr("169.254.170.2"),
	netip.MustParseAddr("169.254.170.23"),
	netip.MustParseAddr("fd00:ec2::23"),
}
