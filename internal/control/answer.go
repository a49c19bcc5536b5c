package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// handlerLimit bounds the time of one request, but for streams.
const handlerLimit = 10 * time.Second

// bigLimit bounds the making and the reading of a big answer.
const bigLimit = 15 * time.Second

// Error is an answer that is no success. Its text is for the person who asked.
type Error struct {
	Status  int    `json:"-"`
	Message string `json:"error"`
}

func (e *Error) Error() string { return e.Message }

// Failure makes the answer with that HTTP status and text.
func Failure(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// JSON answers with what f returns; nil is {}. An error of Failure keeps its
// status, another one is a 500.
func JSON(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), handlerLimit)
		defer cancel()
		v, err := f(r.WithContext(ctx))
		if err != nil {
			fail(w, err)
			return
		}
		if v == nil {
			v = struct{}{}
		}
		write(w, http.StatusOK, v)
	})
}

// Big is for answers of megabytes: few are made at a time, and whoever does not
// read in time what is made loses the place to the next. h begins to work when
// there is a place.
func (s *Server) Big(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		patience := time.NewTimer(handlerLimit)
		defer patience.Stop()
		select {
		case s.big <- struct{}{}:
			defer func() { <-s.big }()
		case <-patience.C:
			w.Header().Set("Retry-After", "1")
			fail(w, Failure(http.StatusServiceUnavailable, "%d others are being given large answers: try again in a moment", maxBig))
			return
		case <-r.Context().Done():
			return
		}
		// What cannot be bounded is bounded by the connection's own limit.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bigLimit))
		h.ServeHTTP(w, r)
	})
}

// Decode reads the request's JSON body into into. Unknown keys are errors: an
// order that is understood by half must not be followed.
func Decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return Failure(http.StatusRequestEntityTooLarge, "the body is over the limit of %d bytes", large.Limit)
	case err != nil:
		return Failure(http.StatusBadRequest, "the body is not the JSON that is wanted here: %v", err)
	case d.More():
		return Failure(http.StatusBadRequest, "the body goes on after its JSON value")
	}
	return nil
}

func fail(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded):
		e = &Error{Status: http.StatusGatewayTimeout, Message: fmt.Sprintf("no answer within %v: %v", handlerLimit, err)}
	default:
		e = &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	write(w, e.Status, e)
}

// Streamed is an answer that writes itself, piece by piece.
type Streamed interface {
	WriteJSON(w io.Writer) error
}

func write(w http.ResponseWriter, status int, v any) {
	if s, ok := v.(Streamed); ok {
		// What fails is a client that went away, and a stream that is cut short
		// must not look complete.
		if err := s.WriteJSON(&answer{to: w, status: status}); err != nil {
			panic(http.ErrAbortHandler)
		}
		return
	}
	// The encoder hands over its own buffer, once, when all of v is in it: an
	// answer of megabytes is not copied.
	out := &answer{to: w, status: status}
	if err := json.NewEncoder(out).Encode(v); err != nil && !out.begun {
		http.Error(w, `{"error":"the answer cannot be written as JSON"}`, http.StatusInternalServerError)
	}
}

// answer begins when there is something to write.
type answer struct {
	to     http.ResponseWriter
	status int
	begun  bool
}

func (a *answer) Write(data []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.to.Header().Set("Content-Type", "application/json")
		a.to.WriteHeader(a.status)
	}
	return a.to.Write(data) // a client that went away misses it
}
