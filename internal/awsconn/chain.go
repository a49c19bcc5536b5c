package awsconn

import (
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
	"github.com/aws/aws-sdk-go-v2/config"
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
	conf aws.Config // all but credentials and endpoint
	env  config.EnvConfig
	sts  string // where roles are asked for
}

// find decides where credentials come from. It asks nobody yet.
func (c chain) find(ctx context.Context, o Options, p config.SharedConfig) (aws.CredentialsProvider, error) {
	switch {
	case o.KeyID != "":
		return credentials.NewStaticCredentialsProvider(o.KeyID, o.Secret, o.Token), nil
	case c.env.Credentials.HasKeys():
		return credentials.StaticCredentialsProvider{Value: c.env.Credentials}, nil
	case c.env.WebIdentityTokenFilePath != "":
		return webIdentity(c.conf, c.sts, c.env.RoleARN, c.env.RoleSessionName, c.env.WebIdentityTokenFilePath)
	}
	return c.fromProfile(ctx, p)
}

// fromProfile follows the profile, and the ones that it names as its source,
// to credentials; a profile that says nothing leads to container or instance.
func (c chain) fromProfile(ctx context.Context, p config.SharedConfig) (aws.CredentialsProvider, error) {
	found, err := c.source(ctx, p)
	if err != nil || p.RoleARN == "" || p.WebIdentityTokenFile != "" && p.Source == nil {
		return found, err
	}
	if p.MFASerial != "" {
		return nil, refused(p, "mfa_serial", "a role that needs a second factor")
	}
	return assumeRole(c.conf, c.sts, found, p), nil
}

func (c chain) source(ctx context.Context, p config.SharedConfig) (aws.CredentialsProvider, error) {
	switch {
	case p.Source != nil:
		return c.fromProfile(ctx, *p.Source)
	case p.Credentials.HasKeys():
		return credentials.StaticCredentialsProvider{Value: p.Credentials}, nil
	case p.CredentialSource != "":
		return c.named(ctx, p)
	case p.WebIdentityTokenFile != "":
		return webIdentity(c.conf, c.sts, p.RoleARN, p.RoleSessionName, p.WebIdentityTokenFile)
	case p.SSOSessionName != "" || p.SSOAccountID != "" || p.SSORoleName != "" || p.SSOStartURL != "":
		return nil, refused(p, "sso_*", "a login by browser (SSO)")
	case p.LoginSession != "":
		return nil, refused(p, "login_session", "a login by browser")
	case p.CredentialProcess != "":
		return processcreds.NewProvider(p.CredentialProcess), nil
	case c.env.ContainerCredentialsRelativePath != "" || c.env.ContainerCredentialsEndpoint != "":
		return c.container(ctx)
	}
	return c.instance(), nil
}

// named is credential_source.
func (c chain) named(ctx context.Context, p config.SharedConfig) (aws.CredentialsProvider, error) {
	switch p.CredentialSource {
	case "Ec2InstanceMetadata":
		return c.instance(), nil
	case "Environment":
		return credentials.StaticCredentialsProvider{Value: c.env.Credentials}, nil
	case "EcsContainer":
		return c.container(ctx)
	}
	return nil, fmt.Errorf("the AWS profile %q: credential_source: want Ec2InstanceMetadata, EcsContainer or Environment, got %q", p.Profile, p.CredentialSource)
}

func refused(p config.SharedConfig, key, what string) error {
	return fmt.Errorf("the AWS profile %q has %s: %s is not supported by a program that runs alone; use keys, a role (role_arn), web_identity_token_file, credential_process, or let AWS_PROFILE name another profile", p.Profile, key, what)
}

// instance is the role of the host.
func (c chain) instance() aws.CredentialsProvider {
	return ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = imds.NewFromConfig(c.conf) })
}

// ecsHost answers to relative paths.
const ecsHost = "http://169.254.170.2"

// container is the role that ECS or EKS gives to a container.
func (c chain) container(ctx context.Context) (aws.CredentialsProvider, error) {
	place := c.env.ContainerCredentialsEndpoint
	switch {
	case c.env.ContainerCredentialsRelativePath != "":
		place = ecsHost + c.env.ContainerCredentialsRelativePath
	case place == "":
		return nil, errors.New("neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set")
	default:
		if err := mayAsk(ctx, place); err != nil {
			return nil, fmt.Errorf("AWS_CONTAINER_CREDENTIALS_FULL_URI: %w", err)
		}
	}
	file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
	return endpointcreds.New(place, func(o *endpointcreds.Options) {
		o.HTTPClient, o.AuthorizationToken = c.conf.HTTPClient, c.env.ContainerAuthorizationToken
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
