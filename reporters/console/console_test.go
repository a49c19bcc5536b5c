package console

import (
	"bytes"
	"errors"
	"testing"

	"smartstack/internal/service"
)

func TestOneLinePerChange(t *testing.T) {
	var out bytes.Buffer
	r := New(Options{}, &out)
	b := service.Backend{Name: "i-1", Host: "h", Port: 80}
	for _, up := range []bool{false, true, true, false, true} {
		if err := r.Report(t.Context(), service.Registration{Up: up, Backend: b}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const backend = `,"backend":{"host":"h","port":80,"name":"i-1"}}` + "\n"
	want := `{"up":false` + backend + `{"up":true` + backend + `{"up":false` + backend + `{"up":true` + backend + `{"up":false` + backend
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

type brokenWriter struct{ err error }

func (w *brokenWriter) Write(p []byte) (int, error) { return len(p), w.err }

func TestAFailedLineIsTriedAgain(t *testing.T) {
	w := &brokenWriter{err: errors.New("no space left on device")}
	r := New(Options{}, w)
	reg := service.Registration{Up: true}
	if err := r.Report(t.Context(), reg); !errors.Is(err, w.err) {
		t.Fatalf("got %v", err)
	}
	w.err = nil
	if err := r.Report(t.Context(), reg); err != nil || r.last == nil {
		t.Fatalf("not printed after all: %v", err)
	}
}
