package awsconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
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
	Service              string // whose endpoint to look for: "EC2", "S3"
	FallbackRegion       string // taken where nothing names a region, in place of asking the host's metadata
}

// Find looks for what o leaves open. It reads the files of AWS, and asks the
// host's metadata for the region if nothing else names it. Credentials are
// fetched when they are first used, and kept until they run out; a fetch is
// shared by all who wait, so it outlives one who leaves, within its own limits.
func Find(ctx context.Context, o Options) (aws.Config, error) {
	s, err := readSettings(os.Getenv) //nolint:forbidigo // where all programs of AWS look, and clients of the library read it themselves
	if err != nil {
		return aws.Config{}, err
	}
	client, err := newClient(s.get("AWS_CA_BUNDLE", "ca_bundle"))
	if err != nil {
		return aws.Config{}, err
	}
	conf := aws.Config{
		Region:        cmp.Or(o.Region, s.env("AWS_REGION"), s.env("AWS_DEFAULT_REGION"), s.profile["region"], o.FallbackRegion),
		HTTPClient:    client,
		Logger:        logging.Nop{},
		ConfigSources: []any{s},
	}
	if conf.Region == "" {
		here, err := imds.NewFromConfig(conf).GetRegion(ctx, nil)
		if err != nil {
			return aws.Config{}, fmt.Errorf("find the region: neither aws_region, nor AWS_REGION, nor the profile, nor the host's metadata tell it: %w", err)
		}
		conf.Region = here.Region
	}
	found, err := chain{conf, s}.find(ctx, o)
	if err != nil {
		return aws.Config{}, err
	}
	conf.Credentials = cached(found)
	if place := s.endpoint(o.Service); place != "" {
		conf.BaseEndpoint = &place
	}
	return conf, nil
}

// EnvironmentRegion returns the region that Find takes from the environment
// where none is configured; empty = it looks on.
func EnvironmentRegion() string {
	return cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")) //nolint:forbidigo // where all programs of AWS look
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
