// Package grpc checks a gRPC server by the health protocol that all of them
// share (grpc.health.v1): healthy is SERVING.
//
//	{"type": "grpc", "port": 9000}
//	{"type": "grpc", "grpc_service": "shop.Basket", "ssl": true, "ssl_ca_file": "/etc/ssl/our.pem"}
package grpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"smartstack/internal/checkconn"
	"smartstack/internal/config"
)

// Options are the check's keys.
type Options struct {
	checkconn.Target
	Service  string             `cfg:"grpc_service" doc:"Name of the service to ask for; empty for the server as a whole."`
	Metadata config.Map[string] `cfg:"headers" doc:"Metadata of the request, such as authorization."`
	File     string             `cfg:"headers_file" doc:"File with more of them, name: value in a line. It must not be readable for everybody, and may be renewed in place."`
	TLS      checkconn.TLS      `cfg:",inline"`
	Timeout  config.Seconds     `cfg:"timeout" default:"1" doc:"Time for all of the check, in seconds."`
}

// Check is one gRPC check.
type Check struct {
	o        Options
	metadata metadata.MD            // all of it
	file     *checkconn.HeadersFile // nil = none
	dialer   *checkconn.Dialer
}

// New returns a check; it does not touch the network.
func New(o Options, _ *slog.Logger) (*Check, error) {
	dialer, err := checkconn.NewDialer(o.Target, o.TLS)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		return nil, errors.New("timeout: want more than 0 seconds")
	}
	for _, h := range o.Metadata {
		if !checkconn.ValidHeader(h.Key, h.Value) { // the value may be a secret
			return nil, fmt.Errorf("headers: %q is no valid header: a name, and a value without line breaks", h.Key)
		}
	}
	c := &Check{o: o, dialer: dialer}
	c.send(nil)
	if o.File != "" {
		c.file = checkconn.NewHeadersFile(o.File)
	}
	return c, nil
}

// Validate is called by the decoder.
func (o *Options) Validate(n *config.Node, r *config.Report) { r.KeepSecrets(n.Get("headers")) }

// send makes the metadata of the options and the file's headers.
func (c *Check) send(filed []checkconn.Header) {
	c.metadata = metadata.MD{}
	for _, h := range c.o.Metadata {
		c.metadata.Append(h.Key, h.Value)
	}
	for _, h := range filed {
		c.metadata.Append(h.Key, h.Value)
	}
}

// refresh takes over the headers of headers_file where they have changed.
func (c *Check) refresh() error {
	if c.file == nil {
		return nil
	}
	list, fresh, err := c.file.Load()
	if err == nil && fresh {
		c.send(list)
	}
	return err
}

// Timeout is the longest that Check takes.
func (c *Check) Timeout() time.Duration { return c.o.Timeout.Duration() }

// Check asks once on a new connection.
func (c *Check) Check(ctx context.Context) error {
	if err := c.refresh(); err != nil {
		return err
	}
	// Connected before the library has its say: it would try again and again,
	// and hide why it cannot.
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	client, err := grpc.NewClient("passthrough:///"+c.authority(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the connection has its TLS already
		grpc.WithContextDialer(once(conn)),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithUserAgent("nerve"),
	)
	if err != nil {
		return fmt.Errorf("grpc: %w", err)
	}
	defer client.Close()
	request := &grpc_health_v1.HealthCheckRequest{Service: c.o.Service}
	answer, err := grpc_health_v1.NewHealthClient(client).Check(metadata.NewOutgoingContext(ctx, c.metadata), request)
	if err != nil {
		return checkconn.Ended(ctx, c.explain(err))
	}
	if s := answer.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the service %q says %s", c.o.Service, s)
	}
	return nil
}

func (c *Check) connect(ctx context.Context) (*checkconn.Conn, error) {
	conn, err := c.dialer.Plain(ctx)
	if err != nil || !c.dialer.Secured() {
		return conn, err
	}
	return c.dialer.Secure(ctx, conn, "h2")
}

// authority is what the request says it is for.
func (c *Check) authority() string {
	if c.o.Socket != "" {
		return "localhost"
	}
	return c.dialer.Address()
}

// once hands out the one connection, and none after it.
func once(conn net.Conn) func(context.Context, string) (net.Conn, error) {
	ready := make(chan net.Conn, 1)
	ready <- conn
	return func(context.Context, string) (net.Conn, error) {
		select {
		case c := <-ready:
			return c, nil
		default:
			return nil, errors.New("the connection is broken")
		}
	}
}

// explain says in words what the codes mean here.
func (c *Check) explain(err error) error {
	switch s := status.Convert(err); s.Code() {
	case codes.NotFound:
		return fmt.Errorf("the server does not know the service %q: %s", c.o.Service, strconv.Quote(s.Message()))
	case codes.Unimplemented:
		return fmt.Errorf("the server does not offer grpc.health.v1: %s", strconv.Quote(s.Message()))
	default:
		return fmt.Errorf("the server answers %s: %s", s.Code(), strconv.Quote(s.Message()))
	}
}
