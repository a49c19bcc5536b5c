package zkconn

import (
	"context"
	"errors"
	"time"

	"github.com/go-zookeeper/zk"
)

// A batch of reads may take batchTime, and batchPerKilo more for each 1,000.
const (
	batchTime    = 10 * time.Second
	batchPerKilo = time.Second
)

// GetMany reads many nodes, in few requests where the server knows how and many
// at a time, and hands each answer to decode, on many goroutines at a time:
// only what decode returns is kept. Nodes for which watch is true are watched.
// results[i] belongs to nodes[i], and is nil where the node is absent. Any
// other failure ends the whole with that error.
func GetMany[T any](ctx context.Context, c *Conn, nodes []string, watch func(i int) bool, decode func(i int, n Node) T) (results []*T, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTime+time.Duration(len(nodes)/1000)*batchPerKilo)
	defer cancel()
	b := &batch[T]{session: c.session, nodes: nodes, decode: decode, results: make([]*T, len(nodes))}
	b.plan(watch)
	b.answers = make(chan answer[T], min(len(b.jobs), maxInFlight))
	for b.taken < len(b.jobs) {
		if err := b.step(ctx); err != nil {
			return nil, err
		}
	}
	return b.results, nil
}

// job is one request: for several nodes without watches, or for one.
type job struct {
	at    []int // of nodes
	watch bool
}

type answer[T any] struct {
	job
	values []*T // nil for absent nodes
	err    error
}

// batch is a GetMany under way. Its caller's goroutine sends and takes; never
// more requests are under way than answers has room for, so that no answer has
// to wait for a caller that may have left.
type batch[T any] struct {
	*session
	nodes   []string
	decode  func(i int, n Node) T
	results []*T
	jobs    []job
	answers chan answer[T]
	sent    int
	taken   int
}

// plan cuts the batch into jobs.
func (b *batch[T]) plan(watch func(i int) bool) {
	var plain []int
	for i := range b.nodes {
		if watch(i) {
			b.jobs = append(b.jobs, job{[]int{i}, true})
		} else {
			plain = append(plain, i)
		}
	}
	size := bulkNodes
	if b.noBulk.Load() {
		size = 1
	}
	for len(plain) > 0 {
		n := min(size, len(plain))
		b.jobs = append(b.jobs, job{plain[:n], false})
		plain = plain[n:]
	}
}

// step takes an answer that is there, or sends the next request, or waits for
// an answer.
func (b *batch[T]) step(ctx context.Context) error {
	if b.sent < len(b.jobs) && b.sent-b.taken < cap(b.answers) {
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
		return b.explain("get", b.nodes[b.jobs[b.taken].at[0]], context.Cause(ctx))
	}
}

func (b *batch[T]) send(ctx context.Context) error {
	j := b.jobs[b.sent]
	if err := b.acquire(ctx); err != nil {
		return b.explain("get", b.nodes[j.at[0]], err)
	}
	b.sent++
	b.tasks.Go(func() {
		defer func() { <-b.slots }()
		a := answer[T]{job: j, values: make([]*T, len(j.at))}
		a.err = b.read(j, a.values)
		b.answers <- a
	})
	return nil
}

func (b *batch[T]) take(a answer[T]) error {
	b.taken++
	for k, i := range a.at {
		b.results[i] = a.values[k]
	}
	return b.explain("get", b.nodes[a.at[0]], a.err)
}

// read does one job, node by node where one request will not do.
func (b *batch[T]) read(j job, values []*T) error {
	if len(j.at) > 1 {
		err := b.bulk(j, values)
		switch {
		case errors.Is(err, errNoBulk):
			b.noBulk.Store(true)
		case !errors.Is(err, errBulkSize) && !errors.Is(err, zk.ErrShortBuffer):
			return err
		}
	}
	for k, i := range j.at {
		n, err := get(j.watch)(b.zk, b.outside(b.nodes[i]))
		if errors.Is(err, zk.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		values[k] = new(b.decode(i, n))
	}
	return nil
}

func (b *batch[T]) bulk(j job, values []*T) error {
	paths := make([]string, len(j.at))
	for k, i := range j.at {
		paths[k] = b.outside(b.nodes[i])
	}
	var failed error
	err := b.bulkGet(paths, func(k int, n Node, err error) {
		switch {
		case err == nil:
			values[k] = new(b.decode(j.at[k], n))
		case !errors.Is(err, ErrNoNode) && failed == nil:
			failed = err
		}
	})
	return errors.Join(err, failed)
}
