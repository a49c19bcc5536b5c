package awsconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/smithy-go/logging"
)

// The limits of the small calls for credentials and region.
const (
	dialLimit = 5 * time.Second  // for a connection
	callLimit = 10 * time.Second // for an answer
)

// Options are what the user's configuration says itself. All may be empty.
type Options struct {
	Region               string
	KeyID, Secret, Token string // Token goes with keys that are temporary
	Service              string // whose endpoint to look for, such as "S3"
	FallbackRegion       string // taken where nothing names a region, in place of asking the host's metadata
}

// Find looks for what o leaves open. It reads the files of AWS, and asks the
// host's metadata for the region if nothing else names it. Credentials are
// fetched when they are first used, within the context of that use, and kept
// until they run out.
func Find(ctx context.Context, o Options) (aws.Config, error) {
	env, err := config.NewEnvConfig()
	if err != nil {
		return aws.Config{}, fmt.Errorf("the environment's AWS variables: %w", err)
	}
	profile, err := readProfile(ctx, env)
	if err != nil {
		return aws.Config{}, err
	}
	client, err := newClient(cmp.Or(env.CustomCABundle, profile.CustomCABundle))
	if err != nil {
		return aws.Config{}, err
	}
	conf := aws.Config{
		Region:        cmp.Or(o.Region, env.Region, profile.Region, o.FallbackRegion),
		HTTPClient:    client,
		Logger:        logging.Nop{},
		ConfigSources: []any{env, profile},
	}
	if conf.Region == "" {
		here, err := imds.NewFromConfig(conf).GetRegion(ctx, nil)
		if err != nil {
			return aws.Config{}, fmt.Errorf("find the region: neither aws_region, nor AWS_REGION, nor the profile, nor the host's metadata tell it: %w", err)
		}
		conf.Region = here.Region
	}
	sts := cmp.Or(endpoint(ctx, env, profile, "STS"), stsPlace(conf.Region))
	found, err := chain{conf, env, sts}.find(ctx, o, profile)
	if err != nil {
		return aws.Config{}, err
	}
	conf.Credentials = cached(found)
	if place := endpoint(ctx, env, profile, o.Service); place != "" {
		conf.BaseEndpoint = &place
	}
	return conf, nil
}

// readProfile returns the profile in use; without files it is empty, unless
// the environment names one.
func readProfile(ctx context.Context, env config.EnvConfig) (config.SharedConfig, error) {
	name := cmp.Or(env.SharedConfigProfile, "default")
	p, err := config.LoadSharedConfigProfile(ctx, name, func(o *config.LoadSharedConfigOptions) {
		if env.SharedConfigFile != "" {
			o.ConfigFiles = []string{env.SharedConfigFile}
		}
		if env.SharedCredentialsFile != "" {
			o.CredentialsFiles = []string{env.SharedCredentialsFile}
		}
	})
	if _, none := errors.AsType[config.SharedConfigProfileNotExistError](err); none && env.SharedConfigProfile == "" {
		return config.SharedConfig{}, nil
	}
	if err != nil {
		return p, fmt.Errorf("the AWS profile %q: %w", name, err)
	}
	return p, nil
}

// newClient makes the client for credentials, which are asked for rarely, so
// that its connections are not kept. bundle names a file of certificates that
// count in place of the system's.
func newClient(bundle string) (*awshttp.BuildableClient, error) {
	client := awshttp.NewBuildableClient().WithTimeout(callLimit).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialLimit }).
		WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	if bundle == "" {
		return client, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE (or ca_bundle of the profile): %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE (or ca_bundle of the profile): %s holds no certificate in PEM", bundle)
	}
	return client.WithTransportOptions(func(t *http.Transport) {
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.RootCAs = roots
	}), nil
}

// Transport returns a transport of the caller's own, with the certificates and
// limits that Find gave to conf.
func Transport(conf aws.Config) *http.Transport {
	if c, ok := conf.HTTPClient.(*awshttp.BuildableClient); ok {
		return c.GetTransport()
	}
	return awshttp.NewBuildableClient().GetTransport()
}

// endpoint returns where the service is called, empty = where AWS has it. The
// environment goes before the profile, and in each the service before all.
func endpoint(ctx context.Context, env config.EnvConfig, profile config.SharedConfig, service string) string {
	if aws.ToBool(cmp.Or(env.IgnoreConfiguredEndpoints, profile.IgnoreConfiguredEndpoints)) {
		return ""
	}
	own, _, _ := env.GetServiceBaseEndpoint(ctx, service)          // has no errors
	profiles, _, _ := profile.GetServiceBaseEndpoint(ctx, service) // has no errors
	return cmp.Or(own, env.BaseEndpoint, profiles, profile.BaseEndpoint)
}
