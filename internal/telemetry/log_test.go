package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
)

func TestNewLogger(t *testing.T) {
	for _, tc := range []struct {
		name, format string
		debug        bool
		want         string // beginning of the line
	}{
		{"a pipe or file gets JSON", Auto, false, `{"time":`},
		{"text on request", Text, false, `time=`},
		{"JSON with debug", JSON, true, `{"time":`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			log, err := NewLogger(&out, tc.debug, tc.format)
			if err != nil {
				t.Fatal(err)
			}
			log.Info("hello")
			if !strings.HasPrefix(out.String(), tc.want) {
				t.Errorf("got %q, want it to begin with %q", out.String(), tc.want)
			}
			if got := log.Enabled(context.Background(), slog.LevelDebug); got != tc.debug {
				t.Errorf("debug is %v, want %v", got, tc.debug)
			}
		})
	}
	if _, err := NewLogger(&bytes.Buffer{}, false, "xml"); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("unknown format: %v", err)
	}
}

func TestForgetMakesLinesNew(t *testing.T) {
	var out bytes.Buffer
	l, err := NewLog(&out, false, Text)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l.Logger.Error("is bad")
	}
	l.Forget()
	l.Logger.Error("is bad")
	if n := strings.Count(out.String(), "is bad"); n != 3 || !strings.Contains(out.String(), "repeated=1") {
		t.Errorf("%d lines, want two and the count between them:\n%s", n, out.String())
	}
}
