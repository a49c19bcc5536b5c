package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Event is one server-sent event. Data is one line, mostly JSON.
type Event struct {
	ID   uint64
	Name string
	Data []byte
}

// The pace of a stream.
const (
	streamBeat  = 15 * time.Second // a sign of life when there is nothing to say
	streamWrite = 5 * time.Second  // Server.patience, but in tests
)

// Stream answers with what next returns, again and again, until the client
// goes, does not read, or the server closes. next blocks until there is
// something after the event with the given id, or ctx ends; then it returns
// nothing. The first id is that of ?after= or Last-Event-ID, or 0.
func (s *Server) Stream(next func(ctx context.Context, after uint64) ([]Event, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.streams <- struct{}{}:
			defer func() { <-s.streams }()
		default:
			fail(w, Failure(http.StatusServiceUnavailable, "all %d places for live views are taken", maxStreams))
			return
		}
		after, err := firstID(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{})
		for s.send(w, control, []byte(": here\n\n")) == nil {
			events, err := await(r.Context(), after, next)
			if err != nil || r.Context().Err() != nil {
				return
			}
			var text []byte
			for _, e := range events {
				text, after = appendEvent(text, e), e.ID
			}
			if len(text) > 0 && s.send(w, control, text) != nil {
				return
			}
		}
	})
}

// await calls next, for as long as a stream may be silent.
func await(ctx context.Context, after uint64, next func(context.Context, uint64) ([]Event, error)) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, streamBeat)
	defer cancel()
	events, err := next(ctx, after)
	if errors.Is(err, context.DeadlineExceeded) {
		return events, nil
	}
	return events, err
}

func (s *Server) send(w http.ResponseWriter, control *http.ResponseController, text []byte) error {
	if err := control.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	return control.Flush()
}

func firstID(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("after")
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		text = last // a client that comes back
	}
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, Failure(http.StatusBadRequest, "after: want a number, got %q", text)
	}
	return id, nil
}

func appendEvent(text []byte, e Event) []byte {
	text = fmt.Appendf(text, "id: %d\n", e.ID)
	if e.Name != "" {
		text = fmt.Appendf(text, "event: %s\n", strings.NewReplacer("\n", " ", "\r", " ").Replace(e.Name))
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(string(e.Data), "\r", "\n"), "\n") {
		text = fmt.Appendf(text, "data: %s\n", line)
	}
	return append(text, '\n')
}
