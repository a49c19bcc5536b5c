// Package telemetry sets up what a program tells about itself.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// The forms of a log line.
const (
	Auto = ""     // Text on a terminal, JSON otherwise
	Text = "text" // key=value, for people
	JSON = "json" // one object per line, for collectors
)

// NewLogger returns a logger that writes to w in the given form, from level
// debug or else from level info on.
func NewLogger(w io.Writer, debug bool, format string) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if debug {
		o.Level = slog.LevelDebug
	}
	if format == Auto {
		format = JSON
		if isTerminal(w) {
			format = Text
		}
	}
	switch format {
	case Text:
		return slog.New(slog.NewTextHandler(w, o)), nil
	case JSON:
		return slog.New(slog.NewJSONHandler(w, o)), nil
	default:
		return nil, fmt.Errorf("log format %q: want %q or %q", format, Text, JSON)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
