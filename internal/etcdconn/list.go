package etcdconn

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// Keys per page of a full read. The page shrinks when an answer would be over
// maxMessage.
const (
	pageSize    = 1000
	minPageSize = 16
)

// listing is the result of one full read of a mirror's scope.
type listing struct {
	mirror *mirror
	nth    int // of the mirror's reads
	kvs    map[string]*KV
	rev    int64
	id     uint64
	err    error
}

// list reads sc in full; slots bounds how many reads run at once.
func (c *Cluster) list(ctx context.Context, sc scope, slots chan struct{}) listing {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
		return c.readAll(ctx, sc)
	case <-ctx.Done():
		return listing{err: ctx.Err()}
	}
}

// readAll reads all pages at one revision.
func (c *Cluster) readAll(ctx context.Context, sc scope) listing {
	result := listing{kvs: map[string]*KV{}}
	from, end := sc.bounds()
	for size := int64(pageSize); ; {
		resp, err := c.page(ctx, from, end, result.rev, size)
		if codeOf(err) == codes.ResourceExhausted && size > minPageSize {
			size /= 4
			continue
		}
		if err != nil {
			return listing{err: err}
		}
		if result.rev == 0 {
			result.rev = resp.Header.Revision // the first page decides, the others are read at it
		}
		result.id = resp.Header.ClusterId
		for _, kv := range resp.Kvs {
			if k := newKV(kv); sc.holds(k.Key) {
				result.kvs[k.Key] = k
			}
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return result
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

func (c *Cluster) page(ctx context.Context, from, end string, rev, size int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	client, err := c.Client(ctx)
	if err != nil {
		return nil, err
	}
	return client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(rev), clientv3.WithLimit(size))
}

func isForbidden(err error) bool { return is(err, rpctypes.ErrPermissionDenied) }
