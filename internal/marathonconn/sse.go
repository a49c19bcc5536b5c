package marathonconn

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds one line of the stream, and the data of one event, in bytes.
// Deployments of large groups come as one line of hundreds of kilobytes.
const maxLine = 1 << 20

// event is one event of the stream.
type event struct {
	kind string // its "event" field; may be empty
	data []byte // valid until the next call
	long bool   // data was longer than maxLine and is lost
}

// eventReader splits a stream of server-sent events. Lines end with LF, CR or
// CRLF; Marathon's heartbeat is an empty line whose CR and LF arrive apart.
type eventReader struct {
	in     *bufio.Reader
	afterC bool   // the last byte was a CR: a LF belongs to it
	line   []byte // the line under way
	data   []byte
	alive  func() // called for every line, heartbeats too
}

func newEventReader(in io.Reader, alive func()) *eventReader {
	return &eventReader{in: bufio.NewReaderSize(in, 16<<10), alive: alive}
}

// next returns the next event; an event that is cut by the end of the stream
// is none.
func (r *eventReader) next() (event, error) {
	e := event{}
	r.data = r.data[:0]
	some := false
	for {
		line, long, err := r.readLine()
		if err != nil {
			return event{}, err
		}
		r.alive()
		if len(line) == 0 && !long {
			if !some {
				continue // a heartbeat
			}
			e.data = r.data
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.kind, some = string(value), true
		case "data":
			if some = true; long || len(r.data)+len(value) >= maxLine {
				e.long = true
				continue
			}
			if len(r.data) > 0 {
				r.data = append(r.data, '\n')
			}
			r.data = append(r.data, value...)
		}
	}
}

// readLine returns a line without its end. Of a line that is too long it
// returns the beginning.
func (r *eventReader) readLine() (line []byte, long bool, err error) {
	r.line = r.line[:0]
	for {
		chunk, err := r.peek()
		if err != nil {
			return nil, false, err
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if len(r.line)+len(part) > maxLine {
			part, long = part[:maxLine-len(r.line)], true
		}
		r.line = append(r.line, part...)
		if end < 0 {
			_, _ = r.in.Discard(len(chunk))
			continue
		}
		r.afterC = chunk[end] == '\r'
		_, _ = r.in.Discard(end + 1)
		return r.line, long, nil
	}
}

// peek returns what has arrived, at least one byte, past the LF of a CRLF.
func (r *eventReader) peek() ([]byte, error) {
	for {
		if _, err := r.in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, errClosed
			}
			return nil, err
		}
		chunk, _ := r.in.Peek(r.in.Buffered())
		if r.afterC {
			r.afterC = false
			if chunk[0] == '\n' {
				_, _ = r.in.Discard(1)
				continue
			}
		}
		return chunk, nil
	}
}

var errClosed = errors.New("closed by Marathon, as it does when it stops being the leader")
