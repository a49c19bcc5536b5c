package consulconn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Fault is why something could not be read.
type Fault struct {
	Call   string // what was tried, such as "GET http://127.0.0.1:8500/v1/health/service/web"
	Status int    // of the HTTP answer; 0 = there was none
	Err    error
}

// maxCause bounds the text of a foreign error, in bytes.
const maxCause = 400

// Error names the call, the cause, and what to do about it.
func (f *Fault) Error() string {
	text := f.Err.Error()
	if errors.Is(f.Err, context.DeadlineExceeded) {
		text = "no answer in time: " + text
	}
	if len(text) > maxCause {
		text = text[:maxCause] + "…"
	}
	if todo := advice(f.Status); todo != "" {
		text += " (" + todo + ")"
	}
	return f.Call + ": " + text
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

func advice(status int) string {
	switch status {
	case http.StatusForbidden, http.StatusUnauthorized:
		return "check the token: it needs service:read and node:read, or key:read"
	case http.StatusTooManyRequests:
		return "the agent has too many connections from this host: lower max_connections, or raise its http_max_conns_per_client"
	case http.StatusInternalServerError:
		return "is there a leader, and does the datacenter exist?"
	}
	return ""
}

// refused reports whether asking again soon is of no use.
func refused(err error) bool {
	f, ok := errors.AsType[*Fault](err)
	return ok && (f.Status == http.StatusForbidden || f.Status == http.StatusUnauthorized || f.Status == http.StatusTooManyRequests)
}

// badAnswer says that an answer of success holds something else.
func badAnswer(format string, args ...any) error {
	return fmt.Errorf("the answer "+format, args...)
}
