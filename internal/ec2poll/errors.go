package ec2poll

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Fault is why there is no answer.
type Fault struct {
	Region string // empty = not known
	Call   string // what was tried
	Err    error
}

// Error names the region, the call and the cause, and what to do about it.
func (f *Fault) Error() string {
	where := "ec2"
	if f.Region != "" {
		where += " in " + f.Region
	}
	return fmt.Sprintf("%s: %s: %s", where, f.Call, cause(f.Err))
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// badAnswer is an answer that says success and holds something else.
type badAnswer struct{ error }

// throttled reports whether EC2 says that it was asked too often, or that it
// is overloaded.
func throttled(err error) bool {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if _, known := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; known {
			return true
		}
	}
	code := status(err)
	return code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable
}

// status returns the HTTP status of a refusal, 0 when there was none.
func status(err error) int {
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

// maxCause bounds the text of a foreign error, in bytes.
const maxCause = 400

// cause tells err in a few words. What AWS says about a refusal is enough; the
// chain of the client's own words around it is not repeated.
func cause(err error) string {
	text := err.Error()
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = api.ErrorCode() + ": " + api.ErrorMessage()
		if s := status(err); api.ErrorCode() == "UnknownError" && s != 0 {
			text = fmt.Sprintf("HTTP status %d without an error from EC2", s)
		}
		if todo := advice[api.ErrorCode()]; todo != "" {
			return cut(text) + " (" + todo + ")"
		}
	} else if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer in time: " + text
	}
	if bad, ok := errors.AsType[*badAnswer](err); ok {
		text = bad.Error()
	}
	return cut(text)
}

func cut(text string) string {
	if len(text) > maxCause {
		return text[:maxCause] + "…"
	}
	return text
}

// advice tells what to do about the errors that people cause.
var advice = map[string]string{
	"UnauthorizedOperation": "the credentials need the permission ec2:DescribeInstances",
	"AccessDenied":          "the credentials need the permission ec2:DescribeInstances",
	"AccessDeniedException": "the credentials need the permission ec2:DescribeInstances",
	"AuthFailure":           "check the access key, and that the clock is right",
	"InvalidClientTokenId":  "check the access key",
	"SignatureDoesNotMatch": "check the secret access key, and that the clock is right",
	"RequestExpired":        "check that the clock is right",
	"ExpiredToken":          "the credentials have run out; where do they come from?",
	"ExpiredTokenException": "the credentials have run out; where do they come from?",
	"OptInRequired":         "the account is not signed up for this region",
	"RequestLimitExceeded":  "the account's calls are used up; raise check_interval on all hosts",
	"Throttling":            "the account's calls are used up; raise check_interval on all hosts",
	"InvalidAction":         "does the endpoint speak for EC2?",
}
