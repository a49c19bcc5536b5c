package ec2poll

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go/middleware"

	"smartstack/internal/awsconn"
)

// The limits of one call. A call includes the credentials it needs and what
// the AWS client tries again.
const (
	callLimit = 15 * time.Second
	attempts  = 2
	retryWait = 2 * time.Second // between attempts, at most
)

// describe is DescribeInstances. It is kept as a function: behind an interface
// the linker would keep the client's other 700 operations too, 30 MB.
type describe func(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)

// client is a way to EC2.
type client struct {
	region   string
	describe describe
	close    func() // its idle connections
}

// dialer makes a connection, as net.Dialer does; nil = as the AWS client does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// connect finds the region and where the credentials come from, as AWS tools
// do: from q, the environment, the profile, the container, the host.
func connect(ctx context.Context, q Query, dial dialer) (*client, error) {
	conf, err := awsconn.Find(ctx, awsconn.Options{Region: q.Region, KeyID: q.KeyID, Secret: string(q.Secret), Service: "EC2"})
	if err != nil {
		return nil, &Fault{Region: q.Region, Call: "read the AWS configuration of this host", Err: err}
	}
	transport := awsconn.Transport(conf)
	transport.DisableKeepAlives = false // from page to page
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 1, 1
	if dial != nil {
		transport.DialContext = dial
	}
	c := ec2.NewFromConfig(conf, func(o *ec2.Options) {
		o.HTTPClient = &http.Client{
			Transport:     limited{transport},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		o.Retryer, o.RetryMaxAttempts = retryer(), attempts
	})
	return &client{region: conf.Region, describe: c.DescribeInstances, close: transport.CloseIdleConnections}, nil
}

// retryer tries again what went wrong on the way, but not what EC2 refused
// because it was asked too often: for that, all wait.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = attempts, retryWait
		never := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if throttled(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{never}, o.Retryables...)
	})
}

// maxBody bounds one answer, in bytes: 1,000 instances need 4 MB.
const maxBody = 64 << 20

// limited bounds what answers may hold, and sends forms from memory. The AWS
// client closes its own body as soon as an answer starts; where that is before
// net/http is done with the body, it costs the connection, and the answer.
type limited struct{ http.RoundTripper }

// RoundTrip hands the request on.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		form, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		r = r.WithContext(r.Context()) // a copy
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(form)), nil }
		r.Body, _ = r.GetBody() // cannot fail
	}
	response, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxBody)
	}
	return response, err
}

// read fetches one page, whose body decode takes in place of the client's own
// decoder.
func (c *client) read(ctx context.Context, in *ec2.DescribeInstancesInput, decode func([]byte) (page, error)) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var got page
	out, err := c.describe(ctx, in, func(o *ec2.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return replaceDecoder(stack, func(body []byte) error {
				var err error
				got, err = decode(body)
				return err
			})
		})
	})
	if err == nil && out == nil {
		err = errors.New("no answer")
	}
	return got, err
}
