package etcdconn

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
)

// CallTimeout bounds every single call to a cluster.
const CallTimeout = 5 * time.Second

// A silent server is noticed after keepAliveTime plus keepAliveTimeout, if the
// heartbeat of the watch stream or of the lease has not found out before.
// gRPC does not ping more often than this.
const (
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = 3 * time.Second
)

// maxMessage bounds one answer of a server, in bytes.
const maxMessage = 64 << 20

// Pool holds one connection for each cluster in use. It may be used from any
// goroutine. Make it with NewPool.
type Pool struct {
	log       *slog.Logger
	dial      DialFunc // nil = gRPC's own
	heartbeat time.Duration
	mu        sync.Mutex // guards clusters, Cluster.users, Cluster.sessions and Session.users
	clusters  map[Target]*Cluster
}

// DialFunc makes a connection, as net.Dialer does.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// NewPool makes an empty pool; it does no I/O.
func NewPool(log *slog.Logger) *Pool { return NewPoolOver(log, nil) }

// NewPoolOver is NewPool with another network, such as a test's.
func NewPoolOver(log *slog.Logger, dial DialFunc) *Pool {
	return &Pool{log: log, dial: dial, heartbeat: heartbeat, clusters: map[Target]*Cluster{}}
}

// Acquire returns the cluster t, which connects in the background. It does no
// I/O itself. The caller must Release it once.
func (p *Pool) Acquire(t Target) *Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clusters[t]
	if c == nil {
		c = newCluster(p, t)
		p.clusters[t] = c
		c.wg.Go(c.connect)
		c.wg.Go(newFollower(c).run)
	}
	c.users++
	return c
}

// Cluster is the connection to one cluster, shared by all who acquired it.
type Cluster struct {
	pool     *Pool
	target   Target
	log      *slog.Logger
	users    int
	sessions map[int64]*Session // by time to live, in seconds

	ctx      context.Context // ends with the last user
	stop     context.CancelFunc
	wg       sync.WaitGroup
	commands chan command // to the follower

	connected chan struct{} // closed when client is set
	client    *clientv3.Client
	fault     atomic.Pointer[Error] // why there is no client yet
	failed    chan struct{}         // closed when there is a fault
}

func newCluster(p *Pool, t Target) *Cluster {
	ctx, stop := context.WithCancel(context.Background())
	return &Cluster{
		pool: p, target: t, log: p.log,
		sessions: map[int64]*Session{}, ctx: ctx, stop: stop,
		commands: make(chan command), connected: make(chan struct{}), failed: make(chan struct{}),
	}
}

// Release gives the cluster back. The last user closes the connection and
// returns when all its goroutines have ended.
func (c *Cluster) Release() {
	c.pool.mu.Lock()
	c.users--
	last := c.users == 0
	if last {
		delete(c.pool.clusters, c.target)
	}
	c.pool.mu.Unlock()
	if last {
		c.stop()
		c.wg.Wait()
	}
}

// Client returns the connection. It waits for it until ctx ends, unless
// connecting has failed already: then it returns the reason at once, while the
// cluster tries again in the background. Without a user name there is always a
// client, whether a server can be reached or not.
func (c *Cluster) Client(ctx context.Context) (*clientv3.Client, error) {
	select {
	case <-c.connected: // before a fault that it has mended
		return c.client, nil
	default:
	}
	select {
	case <-c.connected:
		return c.client, nil
	case <-c.failed:
		return nil, c.fault.Load()
	case <-ctx.Done():
		return nil, c.Wrap("connect", ctx.Err())
	case <-c.ctx.Done():
		return nil, c.Wrap("connect", c.ctx.Err())
	}
}

// connect makes the client and closes it at the end. Only reading files and
// fetching a token can fail; the connection itself is gRPC's, and comes and
// goes.
func (c *Cluster) connect() {
	var retry backoff
	for {
		client, err := c.dial()
		if err == nil {
			c.client = client
			close(c.connected)
			<-c.ctx.Done()
			_ = client.Close() // it ends with the context's own error
			return
		}
		if c.ctx.Err() != nil {
			return
		}
		fault := c.Wrap("connect", err)
		if c.fault.Swap(fault) == nil {
			close(c.failed)
			c.log.Warn("cannot connect to etcd, trying on", "err", fault)
		}
		if !sleep(c.ctx, retry.next()) {
			return
		}
	}
}

func (c *Cluster) dial() (*clientv3.Client, error) {
	password, err := c.target.password()
	if err != nil {
		return nil, err
	}
	tlsConf, err := c.target.tlsConfig()
	if err != nil {
		return nil, err
	}
	endpoints := c.target.endpoints()
	options := []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
		// gRPC's own longest delay of two minutes is too long for a cluster that is back.
		Backoff:           grpcbackoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.4, MaxDelay: 3 * time.Second},
		MinConnectTimeout: CallTimeout,
	}), grpc.WithChainUnaryInterceptor(failFast)}
	if dial := c.pool.dial; dial != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dial(ctx, "tcp", address)
		}))
	}
	return clientv3.New(clientv3.Config{
		Context: c.ctx, Endpoints: endpoints, TLS: tlsConf,
		Username: c.target.access.Username, Password: password,
		DialTimeout: CallTimeout, DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallRecvMsgSize: maxMessage,
		MaxUnaryRetries:    uint(2*len(endpoints) + 1), // each member once more; then our own back-off
		Logger:             zap.NewNop(),               // what matters is logged here, in our words
		DialOptions:        options,
	})
}

// failFast ends a call at once, with the reason, when no member can be reached.
// The client's own default is to wait silently until the deadline.
func failFast(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, req, reply, conn, append(opts, grpc.WaitForReady(false))...)
}
