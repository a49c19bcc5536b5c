package zkconn

import (
	"context"
	"time"

	"github.com/go-zookeeper/zk"
)

// A batch of reads may take batchTime, and batchPerKilo more for each 1,000.
const (
	batchTime    = 10 * time.Second
	batchPerKilo = time.Second
)

// GetMany reads many nodes, as many at a time as the session allows, and hands
// each answer to decode, on many goroutines at a time: only what decode returns
// is kept. Nodes for which watch is true are watched. results[i] belongs to
// nodes[i], and is nil where the node is absent. Any other failure ends the
// whole with that error.
func GetMany[T any](ctx context.Context, c *Conn, nodes []string, watch func(i int) bool, decode func(i int, n Node) T) (results []*T, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime+time.Duration(len(nodes)/1000)*batchPerKilo)
	defer cancel()
	b := &batch[T]{
		session: c.session, nodes: nodes, results: make([]*T, len(nodes)),
		answers: make(chan answer[T], min(len(nodes), maxInFlight)),
	}
	b.read = func(i int) (*T, error) {
		n, err := get(watch(i))(b.zk, b.outside(nodes[i]))
		switch {
		case err == zk.ErrNoNode:
			return nil, nil
		case err != nil:
			return nil, err
		}
		return new(decode(i, n)), nil
	}
	for b.taken < len(nodes) {
		if err := b.step(ctx); err != nil {
			return nil, err
		}
	}
	return b.results, nil
}

type answer[T any] struct {
	i     int
	value *T
	err   error
}

// batch is a GetMany under way. Its caller's goroutine sends and takes; never
// more requests are under way than answers has room for, so that no answer has
// to wait for a caller that may have left.
type batch[T any] struct {
	*session
	nodes   []string
	read    func(i int) (*T, error)
	results []*T
	answers chan answer[T]
	sent    int
	taken   int
}

// step takes an answer that is there, or sends the next request, or waits for
// an answer.
func (b *batch[T]) step(ctx context.Context) error {
	if b.sent < len(b.nodes) && b.sent-b.taken < cap(b.answers) {
		select {
		case a := <-b.answers:
			return b.take(a)
		default:
			return b.send(ctx)
		}
	}
	select {
	case a := <-b.answers:
		return b.take(a)
	case <-ctx.Done():
		return b.explain("get", b.nodes[b.taken], context.Cause(ctx))
	}
}

func (b *batch[T]) send(ctx context.Context) error {
	if err := b.acquire(ctx); err != nil {
		return b.explain("get", b.nodes[b.sent], err)
	}
	i := b.sent
	b.sent++
	b.tasks.Go(func() {
		defer func() { <-b.slots }()
		a := answer[T]{i: i}
		a.value, a.err = b.read(i)
		b.answers <- a
	})
	return nil
}

func (b *batch[T]) take(a answer[T]) error {
	b.taken++
	b.results[a.i] = a.value
	return b.explain("get", b.nodes[a.i], a.err)
}
