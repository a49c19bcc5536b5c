package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStream(t *testing.T) {
	path := filepath.Join(short(t), "x.sock")
	serve(t, Options{Socket: path})
	c := NewClient(path)
	var got []Event
	enough := errors.New("enough")
	err := c.Events(t.Context(), "/stream?after=1", func(e Event) error {
		if got = append(got, e); len(got) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || got[0].ID != 2 || got[1].ID != 3 || got[0].Name != "n" || string(got[1].Data) != "a\nb2" {
		t.Errorf("%v, %+v", err, got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Events(ctx, "/stream?after=2", func(Event) error { cancel(); return nil }); err != nil {
		t.Errorf("asked to end, and got %v", err)
	}
	var e *Error
	if err := c.Events(t.Context(), "/stream?after=x", nil); !errors.As(err, &e) || e.Status != 400 {
		t.Error(err)
	}
}

// TestASlowClientIsDropped lets a client ask for a stream without end and read
// nothing: the handler ends all the same, and others are served meanwhile.
func TestASlowClientIsDropped(t *testing.T) {
	path := filepath.Join(short(t), "x.sock")
	s := New("test", slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	s.patience = 50 * time.Millisecond
	ended := make(chan struct{})
	big := bytes.Repeat([]byte("x"), 1<<20)
	stream := s.Stream(func(context.Context, uint64) ([]Event, error) { return []Event{{ID: 1, Data: big}}, nil })
	s.Handle("GET /stream", Read, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { stream.ServeHTTP(w, r); close(ended) }))
	s.Handle("GET /read", Read, JSON(func(*http.Request) (any, error) { return 1, nil }))
	if err := s.Configure(Options{Socket: path}); err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := NewClient(path).Get(t.Context(), "/read", nil); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-t.Context().Done():
		t.Fatal("the stream goes on")
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("id: 1\nevent: a\ndata: b\ndata: c\n\n: beat\n\n")
	f.Add("data\n\nid:x\n\n")
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		err := readEvents(strings.NewReader(in), func(e Event) error {
			n++
			back := string(appendEvent(nil, e))
			return readEvents(strings.NewReader(back), func(b Event) error {
				if b.ID != e.ID || !bytes.Equal(b.Data, bytes.ReplaceAll(e.Data, []byte("\r"), []byte("\n"))) {
					t.Errorf("%+v came back as %+v", e, b)
				}
				return nil
			}) // io.EOF ends the loop: one event is enough
		})
		if err == nil || n > 1 {
			t.Errorf("%d events, %v", n, err)
		}
	})
}
