package zkconn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

// The answers of a server that callers act upon.
var (
	ErrNoNode     = zk.ErrNoNode
	ErrNodeExists = zk.ErrNodeExists
	ErrNoAuth     = zk.ErrNoAuth
	ErrBadVersion = zk.ErrBadVersion
	ErrNotEmpty   = zk.ErrNotEmpty
	ErrInvalidACL = zk.ErrInvalidACL
)

// LinkError is a request that got no answer. Whether it was carried out is
// unknown unless it could not be sent at all.
type LinkError struct {
	Ensemble string
	Op, Node string
	Down     time.Duration // how long there has been no connection; 0 = there is one
	Cause    error         // why there is none
	Err      error         // why the request ended
}

func (e *LinkError) Error() string {
	text := fmt.Sprintf("zookeeper %s: %s %s: ", e.Ensemble, e.Op, e.Node)
	switch {
	case e.Cause == nil:
		return text + "no answer: " + e.Err.Error()
	default:
		return text + fmt.Sprintf("no connection for %v: %v", e.Down.Round(time.Millisecond), e.Cause)
	}
}

// Unwrap returns why the request ended.
func (e *LinkError) Unwrap() error { return e.Err }

// IsLink reports whether err means that the ensemble has not answered, as
// opposed to an answer that is a refusal.
func IsLink(err error) bool {
	_, ok := errors.AsType[*LinkError](err)
	return ok
}

// linkErrors are the library's errors that are no answers.
var linkErrors = []error{
	zk.ErrConnectionClosed, zk.ErrSessionExpired, zk.ErrNoServer, zk.ErrClosing, zk.ErrSessionMoved,
	context.Canceled, context.DeadlineExceeded,
}

// explain completes an error with what was asked of whom.
func (s *session) explain(op, node string, err error) error {
	if err == nil {
		return nil
	}
	node = short(node)
	for _, e := range linkErrors {
		if !errors.Is(err, e) {
			continue
		}
		st := s.State()
		link := &LinkError{Ensemble: s.name(), Op: op, Node: node, Err: err}
		if !st.Connected {
			link.Down, link.Cause = time.Since(st.Since), st.Err
		}
		if link.Cause == nil && !st.Connected {
			link.Cause = errors.New("no host has answered yet")
		}
		return link
	}
	hint := ""
	switch {
	case errors.Is(err, ErrNoAuth):
		hint = " (the ACL there does not let our credentials; see zk_auth)"
	case errors.Is(err, ErrInvalidACL):
		hint = " (the server does not take zk_acl: it knows no such scheme or id, or we have shown it no credential)"
	}
	return fmt.Errorf("zookeeper %s: %s %s: %w%s", s.name(), op, node, err, hint)
}

// short cuts a path, whose last part may hold a whole registration.
func short(node string) string {
	const limit = 120
	if len(node) <= limit {
		return node
	}
	return node[:limit] + "…"
}
