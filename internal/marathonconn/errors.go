package marathonconn

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Fault is why something could not be read.
type Fault struct {
	Call   string // what was tried, such as "GET http://m1:8080/v2/apps/web"
	Status int    // of the HTTP answer; 0 = there was none
	Err    error
}

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

// maxCause bounds the text of a foreign error, in bytes.
const maxCause = 400

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

func advice(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "check user and password, or the token"
	case http.StatusForbidden:
		return "the user may not read this app"
	case http.StatusBadGateway:
		return "a standby that knows no leader says so too"
	}
	return ""
}

// status returns the HTTP status of a refusal, 0 when there was none.
func status(err error) int {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Status
	}
	return 0
}

// refused reports whether Marathon does not want to speak to us.
func refused(err error) bool {
	code := status(err)
	return code == http.StatusUnauthorized || code == http.StatusForbidden
}

// absent reports whether Marathon itself says that there is no such app.
func absent(err error) bool {
	return status(err) == http.StatusNotFound && !errors.Is(err, errForeign)
}

// narrow reports whether another, older call may succeed where this one did
// not.
func narrow(err error) bool {
	code := status(err)
	return code == http.StatusNotFound || code == http.StatusMethodNotAllowed || code == http.StatusForbidden
}

// badAnswer says that an answer of success holds something else.
func badAnswer(format string, args ...any) error {
	return fmt.Errorf("the answer "+format, args...)
}
