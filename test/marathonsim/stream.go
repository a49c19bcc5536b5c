package marathonsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// conn is one open event stream.
type conn struct {
	net.Conn
	writing sync.Mutex
}

func (c *conn) write(text string) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, _ = io.WriteString(c.Conn, text)
}

// stream holds an event stream open: no chunks, no compression, and only for
// those who ask for exactly this media type.
func (s *Sim) stream(w http.ResponseWriter, r *http.Request) {
	if accept := r.Header.Values("Accept"); len(accept) != 1 || accept[0] != "text/event-stream" {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	raw, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	c := &conn{Conn: raw}
	c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\nConnection: close\r\n\r\n")
	c.write(Frame("event_stream_attached", map[string]any{"remoteAddress": "127.0.0.1"}))
	s.mu.Lock()
	s.streams[c] = struct{}{}
	s.opened++
	s.mu.Unlock()
	go func() { // until the client, or the test, ends it
		_, _ = io.Copy(io.Discard, raw)
		s.mu.Lock()
		delete(s.streams, c)
		s.mu.Unlock()
		_ = raw.Close()
	}()
}

// Frame returns an event as Marathon writes it.
func Frame(kind string, fields map[string]any) string {
	body := with(map[string]any{"eventType": kind, "timestamp": longAgo}, fields)
	data, _ := json.Marshal(body) // made of plain values
	return fmt.Sprintf("event: %s\r\ndata: %s\r\n\r\n", kind, data)
}

// Write sends bytes on all streams, as one piece.
func (s *Sim) Write(text string) {
	s.mu.Lock()
	var all []*conn
	for c := range s.streams {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.write(text)
	}
}

// Emit sends an event on all streams.
func (s *Sim) Emit(kind string, fields map[string]any) { s.Write(Frame(kind, fields)) }

// Changed sends the event of a task of the app that changed its state.
func (s *Sim) Changed(id string) {
	s.Emit("status_update_event", map[string]any{
		"slaveId": "agent0", "taskId": "a-task", "taskStatus": "TASK_RUNNING", "message": "", "appId": id,
		"host": "10.0.0.1", "ports": []int{31000}, "version": longAgo,
	})
}

// Heartbeat sends what Marathon sends each 10 s, in its two pieces.
func (s *Sim) Heartbeat() {
	s.Write("\r")
	s.Write("\n")
}

// Streams returns how many streams are open, and how many ever were.
func (s *Sim) Streams() (open, ever int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams), s.opened
}

// CutStreams closes all streams, as a leader does that is none any more.
func (s *Sim) CutStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.streams {
		_ = c.Close()
		delete(s.streams, c)
	}
}

// CloseAtOnce answers those who ask for the event stream as a standby does that
// has just lost the lead: with a stream that ends.
func CloseAtOnce(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream;charset=utf-8")
	w.Header().Set("Connection", "close")
	_, _ = io.WriteString(w, Frame("event_stream_attached", map[string]any{"remoteAddress": "127.0.0.1"}))
}

// InsteadOfStream lets handle answer those who ask for the event stream; nil
// ends that.
func (s *Sim) InsteadOfStream(handle http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noStream = handle
}
