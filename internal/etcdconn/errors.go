package etcdconn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is a failed call: which cluster, which step, and why in words.
type Error struct {
	Hosts string
	Step  string
	Err   error
}

// Error returns one line for a person.
func (e *Error) Error() string {
	return fmt.Sprintf("etcd %s: %s: %s", e.Hosts, e.Step, reason(e.Err))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Wrap names the cluster and the step in err, unless err does so already.
func (c *Cluster) Wrap(step string, err error) *Error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	return &Error{Hosts: c.target.String(), Step: step, Err: err}
}

// reason drops gRPC's wrapping and explains a missing answer.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) || codeOf(err) == codes.DeadlineExceeded {
		return "no answer in time; is a member reachable, and has the cluster a leader?"
	}
	if s, ok := status.FromError(err); ok {
		return s.Message()
	}
	return err.Error()
}

// codeOf returns gRPC's code of err, also where etcd's client has wrapped it.
func codeOf(err error) codes.Code {
	if e, ok := errors.AsType[rpctypes.EtcdError](err); ok {
		return e.Code()
	}
	return status.Code(err)
}

// is tells whether err is etcd's error want, however it is wrapped.
func is(err, want error) bool {
	if ours, ok := errors.AsType[*Error](err); ok {
		err = ours.Err
	}
	return err != nil && errors.Is(rpctypes.Error(err), want)
}

// IsLeaseGone tells whether err says that a lease does not exist any more.
func IsLeaseGone(err error) bool { return is(err, rpctypes.ErrLeaseNotFound) }

// IsRefused tells whether err says that our user is not known, or may not do
// what was asked.
func IsRefused(err error) bool {
	return is(err, rpctypes.ErrPermissionDenied) || is(err, rpctypes.ErrAuthFailed) || is(err, rpctypes.ErrUserEmpty)
}

// Delays between attempts: doubling from firstDelay to longestDelay.
const (
	firstDelay   = 100 * time.Millisecond
	longestDelay = 5 * time.Second
)

// backoff counts failed attempts. The zero value has none.
type backoff struct{ delay time.Duration }

// next returns how long to wait before the next attempt, within ±50 % so that
// a fleet does not come back in step.
func (b *backoff) next() time.Duration {
	b.delay = min(max(2*b.delay, firstDelay), longestDelay)
	return b.delay/2 + rand.N(b.delay)
}

func (b *backoff) reset() { b.delay = 0 }

// sleep waits for d; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
