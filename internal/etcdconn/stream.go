package etcdconn

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

var (
	errNotYet  = errors.New("no answer yet")
	errSilent  = errors.New("the watch stream gives no sign of life")
	errBacklog = errors.New("the server does not take our requests")
)

// backlog is how many requests may wait for a stream before it is given up.
const backlog = 8192

// stream is one watch stream, on which all watches of a cluster run. We speak
// etcd's Watch call directly rather than through clientv3.Watcher, because that
// one resumes broken streams behind our back: it cannot tell us that a server
// came back with another history, and a progress request (our heartbeat) makes
// it skip events on servers before 3.4.25 and 3.5.8.
type stream struct {
	ctx    context.Context
	cancel context.CancelFunc
	out    chan *pb.WatchRequest

	// The follower's own notes.
	open  bool // requests may be sent
	heard bool // something came since the last heartbeat
	asked bool // the last heartbeat asked for a sign of life
}

// streamEvent is what a stream tells the follower: opened, a response, or its
// end.
type streamEvent struct {
	stream *stream
	opened bool
	resp   *pb.WatchResponse
	err    error
}

func newStream(parent context.Context) *stream {
	ctx, cancel := context.WithCancel(parent)
	return &stream{ctx: ctx, cancel: cancel, out: make(chan *pb.WatchRequest, backlog)}
}

// run opens the stream after delay and reads it to its end.
func (s *stream) run(c *Cluster, delay time.Duration, events chan<- streamEvent) {
	if !sleep(s.ctx, delay) {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	tell := func(ev streamEvent) {
		ev.stream = s
		select {
		case events <- ev:
		case <-s.ctx.Done():
		}
	}
	call, err := openStream(ctx, cancel, c)
	if err != nil {
		tell(streamEvent{err: err})
		return
	}
	c.wg.Go(func() { s.send(ctx, call) })
	tell(streamEvent{opened: true})
	for {
		resp, err := call.Recv()
		if err != nil {
			tell(streamEvent{err: err})
			return
		}
		tell(streamEvent{resp: resp})
	}
}

// openStream makes the call within CallTimeout. A member without a leader ends
// it, so that a cut-off member is not taken for a quiet cluster.
func openStream(ctx context.Context, cancel context.CancelFunc, c *Cluster) (pb.Watch_WatchClient, error) {
	limit, stop := context.WithTimeout(ctx, CallTimeout)
	defer stop()
	client, err := c.Client(limit)
	if err != nil {
		return nil, err
	}
	late := time.AfterFunc(CallTimeout, cancel)
	call, err := pb.NewWatchClient(client.ActiveConnection()).Watch(
		clientv3.WithRequireLeader(ctx), grpc.MaxCallRecvMsgSize(maxMessage))
	if !late.Stop() {
		err = context.DeadlineExceeded
	}
	return call, err
}

// send passes requests on until the stream ends.
func (s *stream) send(ctx context.Context, call pb.Watch_WatchClient) {
	for {
		select {
		case <-ctx.Done():
			return
		case req := <-s.out:
			if call.Send(req) != nil {
				return // the reader learns why
			}
		}
	}
}

// ask queues a request; false when the server has not taken the earlier ones.
func (s *stream) ask(req *pb.WatchRequest) bool {
	select {
	case s.out <- req:
		return true
	default:
		return false
	}
}

func createRequest(sc scope, id, from int64) *pb.WatchRequest {
	key, end := sc.bounds()
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(key), RangeEnd: []byte(end), StartRevision: from, WatchId: id,
		ProgressNotify: true, // keeps our revision ahead of compactions while nothing changes
		Fragment:       true,
	}}}
}

func cancelRequest(id int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
}

func progressRequest() *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}
}
